/* query.c: queries, which members answer.
 *
 * Answers the query `uptime` of any member with the seconds since this program started. Each line
 * of standard input, NAME PAYLOAD, is sent as a query. Its acks and answers are printed as they
 * come, and then its end:
 *
 *     ack web1
 *     response web1 12 s
 *     done
 *
 * Leaves at the end of the input.
 *
 *     query BIND [JOIN]...
 *     cc -o query query.c $(pkg-config --cflags --libs sprat)
 */
#include <poll.h>
#include <sprat.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void answer(sprat_node *node, const sprat_event *query, const time_t *started)
{
    char text[32];
    if (strcmp(query->name, "uptime") != 0)
        return;                                 /* the query ends without this node's answer */
    int length = snprintf(text, sizeof text, "%ld s", (long)(time(NULL) - *started));
    if (sprat_node_respond(node, query->id, text, length) < 0)
        fprintf(stderr, "query: %s\n", sprat_last_error());
}

static void on_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    switch (event->kind) {
    case SPRAT_EVENT_QUERY:
        answer(node, event, user_data);
        break;
    case SPRAT_EVENT_QUERY_ACK:
        printf("ack %s\n", event->name);
        break;
    case SPRAT_EVENT_QUERY_RESPONSE:
        printf("response %s %.*s\n", event->name, (int)event->payload_len,
               (const char *)event->payload);
        break;
    case SPRAT_EVENT_DONE:                      /* the text names members that did not answer */
        printf("done%s%s\n", *event->text ? ": " : "", event->text);
        break;
    }
}

/* Sends the next line of the input as a query. Returns 0 at the end of the input. */
static int ask_line(sprat_node *node)
{
    char line[600];
    if (!fgets(line, sizeof line, stdin))
        return 0;
    line[strcspn(line, "\n")] = '\0';
    char *payload = line + strcspn(line, " ");
    if (*payload)
        *payload++ = '\0';
    sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;
    options.want_ack = true;
    if (sprat_node_query(node, line, payload, strlen(payload), &options, NULL, NULL) < 0)
        fprintf(stderr, "query: %s\n", sprat_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    time_t started = time(NULL);
    if (argc < 2) {
        fprintf(stderr, "usage: query BIND [JOIN]...\n");
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
            status = sprat_node_dispatch(node, 0, on_event, &started);
        if (fds[1].revents)
            more = ask_line(node);
    }
    if (status >= 0)
        status = sprat_node_leave(node, 5000);
    if (status < 0)
        fprintf(stderr, "query: %s\n", sprat_last_error());
    sprat_node_free(node);
    return status < 0;
}
