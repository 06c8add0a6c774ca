/* event.c: user events, which reach the programs of all members.
 *
 * Each line of standard input, NAME PAYLOAD, is sent as a user event. The program prints the user
 * events of all members, its own included: user NAME PAYLOAD. It leaves the cluster at the end of
 * the input.
 *
 *     event BIND [JOIN]...
 *     cc -o event event.c $(pkg-config --cflags --libs sprat)
 */
#include <poll.h>
#include <sprat.h>
#include <stdio.h>
#include <string.h>

static void on_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node;
    (void)user_data;
    if (event->kind == SPRAT_EVENT_USER)        /* a payload is bytes, and has no NUL at its end */
        printf("user %s %.*s\n", event->name, (int)event->payload_len,
               (const char *)event->payload);
}

/* Sends the next line of the input. Returns 0 at its end. */
static int send_line(sprat_node *node)
{
    char line[600];
    if (!fgets(line, sizeof line, stdin))
        return 0;
    line[strcspn(line, "\n")] = '\0';
    char *payload = line + strcspn(line, " ");
    if (*payload)
        *payload++ = '\0';
    if (sprat_node_send_event(node, line, payload, strlen(payload), 0) < 0)
        fprintf(stderr, "event: %s\n", sprat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: event BIND [JOIN]...\n");
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0);            /* so that poll() sees every line */
    setvbuf(stdout, NULL, _IOLBF, 0);
    sprat_config *config = sprat_config_new();
    sprat_config_set(config, "name", argv[1]);
    sprat_config_set(config, "bind", argv[1]);

    sprat_node *node;
    int status = sprat_node_start(config, &node);
    sprat_config_free(config);
    if (status == SPRAT_OK && argc > 2)
        status = sprat_node_join(node, (const char *const *)argv + 2, argc - 2, 0, 5000);

    struct pollfd fds[2] = {
        { .fd = status < 0 ? -1 : sprat_node_fd(node), .events = POLLIN },
        { .fd = 0, .events = POLLIN },
    };
    int more = 1;
    while (status >= 0 && more && poll(fds, 2, -1) > 0) {
        if (fds[0].revents)
            status = sprat_node_dispatch(node, 0, on_event, NULL);
        if (fds[1].revents)
            more = send_line(node);
    }
    if (status >= 0)
        status = sprat_node_leave(node, 5000);
    if (status < 0)
        fprintf(stderr, "event: %s\n", sprat_last_error());
    sprat_node_free(node);
    return status < 0;
}
