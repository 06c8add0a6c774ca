/* dispatch.c: events on the thread that asks for them, in a program without threads or an event
 * loop.
 *
 * Joins, prints events for some seconds, and explains each suspicion.
 *
 *     dispatch SECONDS BIND [JOIN]...
 *     cc -o dispatch dispatch.c $(pkg-config --cflags --libs sprat)
 */
#include <sprat.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void on_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    int *seen = user_data;
    ++*seen;
    printf("%s %s\n", sprat_event_kind_name(event->kind),
           event->member ? event->member->name : event->text);
    if (event->kind == SPRAT_EVENT_MEMBER_SUSPECT) {
        sprat_explanation *explanation;
        if (sprat_node_explain(node, event->member->name, &explanation) == SPRAT_OK) {
            printf("  %s\n", sprat_explanation_text(explanation));
            sprat_explanation_free(explanation);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: dispatch SECONDS BIND [JOIN]...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sprat_config *config = sprat_config_new();
    sprat_config_set(config, "name", argv[2]);
    sprat_config_set(config, "bind", argv[2]);

    sprat_node *node;
    uint64_t join = 0;
    int status = sprat_node_start(config, &node);
    sprat_config_free(config);
    if (status == SPRAT_OK && argc > 3)         /* an event of kind DONE reports the end */
        status = sprat_node_join_async(node, (const char *const *)argv + 3, argc - 3, 0, NULL,
                                       &join);

    int seen = 0;
    time_t end = time(NULL) + atoi(argv[1]);
    while (status >= 0 && time(NULL) < end)
        status = sprat_node_dispatch(node, 200, on_event, &seen);

    sprat_health *health;
    if (status >= 0 && sprat_node_health(node, &health) == SPRAT_OK) {
        printf("%d events; %u of %u members live; this node: %s\n", seen, health->live,
               health->known, health->summary);
        sprat_health_free(health);
    }
    if (status >= 0)
        status = sprat_node_leave(node, 5000);
    if (status < 0)
        fprintf(stderr, "dispatch: %s\n", sprat_last_error());
    sprat_node_free(node);
    return status < 0;
}
