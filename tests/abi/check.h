/* Code that the test programs share: checks that print where they failed, nodes on loopback, forks,
 * and counts of threads and descriptors. */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sprat.h>
#ifdef __cplusplus
#include <atomic>
using std::atomic_int;
#else
#include <stdatomic.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                              \
    do {                                                                                         \
        if (!(what)) {                                                                           \
            fprintf(stderr, "%s:%d: failed: %s (last error: %s)\n", __FILE__, __LINE__, #what,   \
                    sprat_last_error());                                                         \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)

/* Checks that two numbers are equal, and prints both if they are not. */
#define SAME(left, right)                                                                        \
    do {                                                                                         \
        long long left_ = (long long)(left), right_ = (long long)(right);                        \
        if (left_ != right_) {                                                                   \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld (last error: %s)\n", __FILE__, __LINE__,\
                    #left, left_, right_, sprat_last_error());                                   \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)

#define UNUSED __attribute__((unused))

static void pause_ms(int ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&time, NULL);
}

/* Returns settings for a node that uses a free loopback port and notices failures fast. A stream
 * may take long, because valgrind and a busy machine are slow. */
UNUSED static sprat_config *settings(const char *name)
{
    sprat_config *config = sprat_config_new();
    CHECK(config);
    SAME(sprat_config_set(config, "profile", "local"), SPRAT_OK);
    SAME(sprat_config_set(config, "name", name), SPRAT_OK);
    SAME(sprat_config_set(config, "bind", "127.0.0.1:0"), SPRAT_OK);
    SAME(sprat_config_set(config, "stream_timeout_ms", "120000"), SPRAT_OK);
    return config;
}

UNUSED static sprat_node *started(sprat_config *config)
{
    sprat_node *node = NULL;
    SAME(sprat_node_start(config, &node), SPRAT_OK);
    CHECK(node);
    sprat_config_free(config);
    return node;
}

UNUSED static sprat_node *node_called(const char *name)
{
    return started(settings(name));
}

/* Makes `node` join `other`. */
UNUSED static void join(sprat_node *node, const sprat_node *other)
{
    char addr[64];
    SAME(sprat_node_addr(other, addr, sizeof addr), SPRAT_OK);
    const char *addrs[1] = { addr };
    SAME(sprat_node_join(node, addrs, 1, 0, 120000), 1);
}

/* Returns the next event of this kind. The alarm() of the program limits the wait. */
UNUSED static const sprat_event *next_of_kind(sprat_node *node, int kind)
{
    for (;;) {
        const sprat_event *event;
        SAME(sprat_node_next_event(node, -1, &event), 1);
        if (event->kind == kind)
            return event;
        sprat_event_free(event);
    }
}

/* Forks. A thread that is inside AddressSanitizer's allocator at that moment leaves the allocator
 * locked in the child, so this function first gives the threads time to become idle. */
UNUSED static pid_t forked(void)
{
#ifdef __SANITIZE_ADDRESS__
    pause_ms(100);
#endif
    return fork();
}

/* Ends a forked child with status 0. It does so by exec: the child cannot free the memory that the
 * threads of the parent owned, and a leak checker would report that memory at exit. */
UNUSED static void end_child(void)
{
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

/* Waits for a child. Returns 1 if it exited with status 0, else 0. */
UNUSED static int succeeded(pid_t pid)
{
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    fprintf(stderr, "child %d ended with wait status %#x\n", (int)pid, (unsigned)status);
    return 0;
}

/* Counts the entries of a directory in /proc/self: "task" has the threads, "fd" the descriptors.
 * The descriptor that the counting itself needs is left out. */
UNUSED static int entries(const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/%s", what);
    DIR *dir = opendir(path);
    CHECK(dir);
    int count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2 - (strcmp(what, "fd") == 0);
}

/* Waits up to 5 s until `what` has `count` entries, because a thread that has ended stays listed
 * for a moment. Returns the number of entries. */
UNUSED static int settled(const char *what, int count)
{
    for (int i = 0; i < 500 && entries(what) != count; i++)
        pause_ms(10);
    return entries(what);
}

#endif
