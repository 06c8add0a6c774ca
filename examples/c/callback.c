/* callback.c: events on a thread of the library, for programs that have threads anyway.
 *
 * Prints the number of alive members with role=backend whenever that number changes, until Enter is
 * pressed.
 *
 *     callback BIND [JOIN]...
 *     cc -pthread -o callback callback.c $(pkg-config --cflags --libs sprat)
 */
#include <pthread.h>
#include <sprat.h>
#include <stdio.h>
#include <string.h>

struct backends {
    pthread_mutex_t lock;
    int count;
};

/* Runs on the library's event thread, for one event at a time. Data that it shares with the rest of
 * the program needs a lock. A callback may be slow, and may call any sprat function. */
static void on_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    struct backends *backends = user_data;
    sprat_members *members;
    (void)event;                                /* whatever happened, count again */
    if (sprat_node_members(node, &members) < 0)
        return;
    int count = 0;
    for (size_t i = 0; i < sprat_members_count(members); i++) {
        const sprat_member *member = sprat_members_get(members, i);
        const char *role = sprat_member_tag(member, "role");
        count += member->state == SPRAT_MEMBER_ALIVE && role && strcmp(role, "backend") == 0;
    }
    sprat_members_free(members);

    pthread_mutex_lock(&backends->lock);
    if (backends->count != count)
        printf("backends: %d\n", count);
    backends->count = count;
    pthread_mutex_unlock(&backends->lock);
}

static void on_log(int level, const char *target, const char *message, void *user_data)
{
    (void)level;
    fprintf(user_data, "%s: %s\n", target, message);
}

int main(int argc, char **argv)
{
    struct backends backends = { PTHREAD_MUTEX_INITIALIZER, 0 };
    if (argc < 2) {
        fprintf(stderr, "usage: callback BIND [JOIN]...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    sprat_config *config = sprat_config_new();
    sprat_config_set(config, "name", argv[1]);
    sprat_config_set(config, "bind", argv[1]);
    sprat_config_set_tag(config, "role", "backend");
    sprat_config_set_event_cb(config, on_event, &backends, NULL);
    sprat_config_set_log_cb(config, SPRAT_LOG_WARN, on_log, stderr, NULL);

    sprat_node *node;
    int status = sprat_node_start(config, &node);
    sprat_config_free(config);
    if (status == SPRAT_OK && argc > 2)
        status = sprat_node_join(node, (const char *const *)argv + 2, argc - 2, 0, 5000);
    if (status < 0)
        fprintf(stderr, "callback: %s\n", sprat_last_error());

    while (status >= 0 && getchar() != '\n' && !feof(stdin)) {
    }
    if (status >= 0)
        sprat_node_leave(node, 5000);
    sprat_node_free(node);          /* no callback runs after this, so `backends` may end */
    return status < 0;
}
