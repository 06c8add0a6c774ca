/* spoe_agent.c: a member of a cluster that answers HAProxy's questions about requests.
 *
 *     spoe_agent [--listen IP:PORT] [--name N] [--bind IP:PORT] [--profile P] [SEED]...
 *
 * HAProxy asks through its stream processing offload engine (SPOE): Which server owns this key? Is
 * the source of this request a member? How many members are there? Who is the leader? What is the
 * value of this tag? The library answers on a thread of its own, so the program is free for other
 * work: this program prints the number of answered questions every ten seconds.
 * docs/haproxy/spoe.md shows the configuration of HAProxy.
 *
 *     cc -o spoe_agent spoe_agent.c $(pkg-config --cflags --libs sprat)
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <sprat.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int set(sprat_config *config, const char *key, const char *value)
{
    if (sprat_config_set(config, key, value) == 0)
        return 0;
    fprintf(stderr, "spoe_agent: %s\n", sprat_last_error());
    return -1;
}

/* Returns the name of the setting that an option sets; NULL for an unknown option. */
static const char *setting(const char *option)
{
    static const char *names[][2] = { { "--listen", "spoe_bind" }, { "--name", "name" },
                                      { "--bind", "bind" }, { "--profile", "profile" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(option, names[i][0]) == 0)
            return names[i][1];
    return NULL;
}

static int parse(sprat_config *config, int argc, char **argv)
{
    char seeds[1024] = "";
    int i = 1;
    for (; i + 1 < argc && setting(argv[i]); i += 2)
        if (set(config, setting(argv[i]), argv[i + 1]) < 0)
            return -1;
    for (; i < argc; i++) {
        size_t used = strlen(seeds), left = sizeof seeds - used;
        int length = snprintf(seeds + used, left, "%s%s", used ? "," : "", argv[i]);
        if (argv[i][0] == '-' || (size_t)length >= left) {
            fprintf(stderr, "usage: spoe_agent [--listen IP:PORT] [--name N] [--bind IP:PORT] "
                            "[--profile P] [SEED]...\n");
            return -1;
        }
    }
    return set(config, "seeds", seeds);
}

static void print_counts(const sprat_node *node)
{
    sprat_stats *stats = NULL;
    if (sprat_node_stats(node, &stats) < 0)
        return;
    int64_t questions = sprat_stats_value(stats, "spoe_questions", 0);
    int64_t connections = sprat_stats_value(stats, "spoe_connections", 0);
    sprat_stats_free(stats);
    printf("%" PRId64 " questions, %" PRId64 " connections\n", questions, connections);
}

int main(int argc, char **argv)
{
    /* Block the signals before any thread starts, so that they wait for sigtimedwait() below. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);

    sprat_config *config = sprat_config_new();
    sprat_node *node = NULL;
    if (set(config, "spoe_bind", "127.0.0.1:29000") < 0 || parse(config, argc, argv) < 0) {
        sprat_config_free(config);
        return 2;
    }
    if (sprat_node_start(config, &node) < 0)
        fprintf(stderr, "spoe_agent: %s\n", sprat_last_error());
    sprat_config_free(config);
    if (!node)
        return 1;
    printf("answering HAProxy\n");

    const struct timespec pause = { .tv_sec = 10 };
    while (sigtimedwait(&signals, NULL, &pause) < 0)
        print_counts(node);
    if (sprat_node_leave(node, 5000) < 0)
        fprintf(stderr, "spoe_agent: %s\n", sprat_last_error());
    sprat_node_free(node);
    return 0;
}
