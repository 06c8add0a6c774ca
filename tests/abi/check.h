/* Shared by the test programs: checks that name their place, a time limit, nodes on loopback. */
#ifndef CHECK_H
#define CHECK_H
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sprat.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                              \
    do {                                                                                         \
        if (!(what)) {                                                                           \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #what,   \
                    sprat_last_error());                                                         \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)

/* Numbers that must be equal, both shown when they are not. */
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

/* Settings of a node on loopback, on any port, that notices failures fast. */
UNUSED static sprat_config *settings(const char *name)
{
    sprat_config *config = sprat_config_new();
    CHECK(config);
    SAME(sprat_config_set(config, "profile", "local"), SPRAT_OK);
    SAME(sprat_config_set(config, "name", name), SPRAT_OK);
    SAME(sprat_config_set(config, "bind", "127.0.0.1:0"), SPRAT_OK);
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
    SAME(sprat_node_join(node, addrs, 1, 0, 10000), 1);
}

/* Forks. AddressSanitizer leaves its allocator locked in the child if another thread is inside it at
 * that moment: for its sake all are given the time to come to rest. */
UNUSED static pid_t forked(void)
{
#ifdef __SANITIZE_ADDRESS__
    pause_ms(100);
#endif
    return fork();
}

/* Ends a forked child well. By exec, because what the threads of the parent owned is lost to the
 * child, and at an exit a leak checker would say so. */
UNUSED static void end_child(void)
{
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
}

/* Waits for a child; 1 if it ended well. */
UNUSED static int succeeded(pid_t pid)
{
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    fprintf(stderr, "child %d ended with %#x\n", (int)pid, (unsigned)status);
    return 0;
}

/* Entries of a directory of /proc/self: threads in "task", descriptors in "fd". */
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

/* Waits until `what` has `count` entries; a thread that has ended is listed for a moment more. */
UNUSED static int settled(const char *what, int count)
{
    for (int i = 0; i < 500 && entries(what) != count; i++)
        pause_ms(10);
    return entries(what);
}

#endif
