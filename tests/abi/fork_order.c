/* fork_order.c: the program loads the library after it has registered fork handlers of its own, and
 * holds the lock of these handlers while it calls the library. Before a fork, the handlers of the
 * library then run first, and those of the program wait for a thread that is in such a call. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *(*last_error)(void);

#define CHECK(what)                                                                              \
    do {                                                                                         \
        if (!(what)) {                                                                           \
            fprintf(stderr, "%s:%d: failed: %s (last error: %s)\n", __FILE__, __LINE__, #what,   \
                    last_error ? last_error() : "");                                             \
            _exit(1);                                                                            \
        }                                                                                        \
    } while (0)

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int rounds, has_ended;

static void *(*config_new)(void);
static int (*config_set)(void *, const char *, const char *);
static int (*node_start)(const void *, void **);
static int (*node_join)(void *, const char *const *, size_t, unsigned, int);
static int (*node_addr)(const void *, char *, size_t);
static void (*node_free)(void *);

static void before_fork(void) { pthread_mutex_lock(&own_lock); }
static void after_fork(void) { pthread_mutex_unlock(&own_lock); }

static void *started(const char *name)
{
    void *config = config_new(), *node = NULL;
    CHECK(config_set(config, "profile", "local") == 0);
    CHECK(config_set(config, "name", name) == 0);
    CHECK(config_set(config, "bind", "127.0.0.1:0") == 0);
    CHECK(config_set(config, "stream_timeout_ms", "120000") == 0);    /* a fork may take a second */
    CHECK(node_start(config, &node) == 0);
    return node;
}

/* Calls the library with the lock held, also for a join, which waits for other threads. */
static void *calls(void *unused)
{
    void *other = started("other");
    char addr[64];
    CHECK(node_addr(other, addr, sizeof addr) == 0);
    const char *addrs[1] = { addr };
    while (!has_ended) {
        pthread_mutex_lock(&own_lock);
        void *node = started("node");
        CHECK(node_join(node, addrs, 1, 0, 120000) == 1);
        node_free(node);
        rounds++;
        pthread_mutex_unlock(&own_lock);
        usleep(100);
    }
    node_free(other);
    return unused;
}

int main(int argc, char **argv)
{
    alarm(300);
    CHECK(pthread_atfork(before_fork, after_fork, after_fork) == 0);
    const char *path = argc > 1 ? argv[1] : "libsprat.so.0";
    CHECK(!dlopen(path, RTLD_NOW | RTLD_NOLOAD));       /* its handlers are not registered yet */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library);
    *(void **)&last_error = dlsym(library, "sprat_last_error");
    *(void **)&config_new = dlsym(library, "sprat_config_new");
    *(void **)&config_set = dlsym(library, "sprat_config_set");
    *(void **)&node_start = dlsym(library, "sprat_node_start");
    *(void **)&node_join = dlsym(library, "sprat_node_join");
    *(void **)&node_addr = dlsym(library, "sprat_node_addr");
    *(void **)&node_free = dlsym(library, "sprat_node_free");
    CHECK(config_new && config_set && node_start && node_join && node_addr && node_free);
    pthread_t caller;
    CHECK(pthread_create(&caller, NULL, calls, NULL) == 0);
    for (int forks = 0; forks < 10; forks++) {
        for (int seen = rounds; rounds == seen;)
            usleep(100);
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        int status;
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    has_ended = 1;
    CHECK(pthread_join(caller, NULL) == 0);
    return 0;
}
