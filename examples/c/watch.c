/* watch.c: joins a cluster, prints its members and its events, and leaves on SIGINT or SIGTERM.
 *
 *     watch [--name N] [--bind ADDR[:PORT]] [--tag KEY=VALUE]... [--key BASE64]
 *           [--set SETTING=VALUE]... [JOIN]...
 *
 * One line per event: member-join web1 10.0.0.1:7946 role=backend
 *
 *     cc -o watch watch.c $(pkg-config --cflags --libs sprat)
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sprat.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "watch: %s: %s\n", what, sprat_last_error());
    return 1;
}

static void print_member(const char *what, const sprat_member *member)
{
    char addr[64];
    sprat_member_addr(member, addr, sizeof addr);
    printf("%s %s %s", what, member->name, addr);
    for (size_t i = 0; i < member->ntags; i++) {
        const char *key;
        const char *value = sprat_member_tag_at(member, i, &key);
        printf(" %s=%s", key, value);
    }
    printf("\n");
}

static int print_members(const sprat_node *node)
{
    sprat_members *members;
    if (sprat_node_members(node, &members) < 0)
        return fail("members");
    for (size_t i = 0; i < sprat_members_count(members); i++) {
        const sprat_member *member = sprat_members_get(members, i);
        print_member(sprat_member_state_name(member->state), member);
    }
    sprat_members_free(members);
    return 0;
}

static void print_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    int *fatal = user_data;
    const char *kind = sprat_event_kind_name(event->kind);
    if (event->member)
        print_member(kind, event->member);
    else if (event->kind == SPRAT_EVENT_USER || event->kind == SPRAT_EVENT_QUERY)
        printf("%s %s\n", kind, event->name);
    else
        printf("%s %s\n", kind, event->text);
    if (event->kind == SPRAT_EVENT_OVERFLOW)
        print_members(node);                    /* events were lost: list the members again */
    if (event->kind == SPRAT_EVENT_FATAL)
        *fatal = 1;
}

/* Sets the options, and returns the index of the first address to join; -1 for bad usage. A wrong
 * setting is not bad usage: `config` keeps the error, and sprat_node_start() reports it. */
static int options(sprat_config *config, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        const char *option = argv[i] + 2;
        char *value = argv[i + 1];
        if (!value)
            return -1;
        if (strcmp(option, "name") == 0 || strcmp(option, "bind") == 0) {
            sprat_config_set(config, option, value);
        } else if (strcmp(option, "key") == 0) {
            sprat_config_set(config, "encrypt", value);
        } else if (strcmp(option, "tag") == 0 || strcmp(option, "set") == 0) {
            char *equals = strchr(value, '=');
            if (!equals)
                return -1;
            *equals = '\0';
            if (*option == 't')
                sprat_config_set_tag(config, value, equals + 1);
            else
                sprat_config_set(config, value, equals + 1);
        } else {
            return -1;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    sprat_config *config = sprat_config_new();
    int first = options(config, argc, argv);
    if (first < 0) {
        fprintf(stderr, "usage: watch [--name N] [--bind ADDR[:PORT]] [--tag KEY=VALUE]... "
                        "[--key BASE64] [--set SETTING=VALUE]... [JOIN]...\n");
        sprat_config_free(config);
        return 2;
    }
    sprat_node *node;
    int status = sprat_node_start(config, &node);
    sprat_config_free(config);
    if (status < 0)
        return fail("start");

    char addr[64];
    if (sprat_node_addr(node, addr, sizeof addr) == SPRAT_OK)
        printf("listening %s\n", addr);
    fflush(stdout);
    if (first < argc &&
        sprat_node_join(node, (const char *const *)argv + first, argc - first, 0, 10000) < 0)
        fail("join");                           /* go on: others may join this node */
    print_members(node);
    fflush(stdout);

    struct pollfd fds[2] = {
        { .fd = sprat_node_fd(node), .events = POLLIN },
        { .fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN },
    };
    int fatal = 0;
    while (!fatal && poll(fds, 2, -1) > 0 && !fds[1].revents) {
        if (sprat_node_dispatch(node, 0, print_event, &fatal) < 0)
            fatal = fail("dispatch");
        fflush(stdout);                         /* once for all events that were queued */
    }
    if (!fatal && sprat_node_leave(node, 10000) < 0)    /* so that no member sees a failure */
        fatal = fail("leave");
    sprat_node_free(node);
    close(fds[1].fd);
    return fatal;
}
