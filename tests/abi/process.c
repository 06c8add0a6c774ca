/* process.c: nodes must not disturb forks and signals, nor leave threads or descriptors behind. */
#include "check.h"
#include <sys/mman.h>

/* In a forked child, an inherited node refuses calls and has no open descriptor, and a new node
 * works. */
static void child(sprat_node *node, sprat_config *config)
{
    const sprat_event *event;
    alarm(300);
    SAME(entries("task"), 1);
    SAME(sprat_node_state(node), SPRAT_ERR_FORKED);
    CHECK(strstr(sprat_last_error(), "parent"));
    SAME(sprat_node_next_event(node, -1, &event), SPRAT_ERR_FORKED);
    SAME(sprat_node_leave(node, -1), SPRAT_ERR_FORKED);
    sprat_node_free(node);
    sprat_node_free(node);
    SAME(sprat_config_set(config, "name", "child"), SPRAT_OK);
    sprat_node *own;
    SAME(sprat_node_start(config, &own), SPRAT_OK);
    SAME(sprat_node_state(own), SPRAT_NODE_RUNNING);
    SAME(sprat_node_state(node), SPRAT_ERR_FORKED);
    sprat_node_free(own);
    SAME(sprat_node_state(own), SPRAT_ERR_HANDLE);
    end_child();
}

static void forks(int rounds)
{
    int before = entries("fd");
    sprat_config *config = settings("parent");
    sprat_node *node;
    SAME(sprat_node_start(config, &node), SPRAT_OK);
    for (int i = 0; i < rounds; i++) {
        sprat_node_set_tag(node, "x", i % 2 ? "1" : "2");   /* keeps its threads busy */
        pid_t pid = forked();
        if (pid == 0) {
            SAME(entries("fd"), before);
            child(node, config);
        }
        CHECK(succeeded(pid));
        SAME(sprat_node_state(node), SPRAT_NODE_RUNNING);
    }
    sprat_config_free(config);
    sprat_node_free(node);
}

static atomic_int signals_in_main, signals_elsewhere;
static pthread_t main_thread;

static void on_signal(int number)
{
    (void)number;
    if (pthread_equal(pthread_self(), main_thread))
        signals_in_main++;
    else
        signals_elsewhere++;
}

static void signals(void)
{
    main_thread = pthread_self();
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    sprat_node *node = node_called("signals"), *other = node_called("other");
    join(node, other);
    for (int i = 0; i < 2000; i++) {
        kill(getpid(), SIGUSR1);
        while (signals_in_main + signals_elsewhere <= i)
            ;
    }
    SAME(signals_in_main, 2000);
    SAME(signals_elsewhere, 0);

    /* A signal that main blocks stays pending: no thread of the library takes it. */
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    pause_ms(50);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGUSR1));
    SAME(signals_in_main + signals_elsewhere, 2000);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    SAME(signals_in_main, 2001);

    sprat_node_free(other);
    pause_ms(300);                              /* the node probes the member that is gone */
    sprat_node_free(node);
    SAME(signals_in_main + signals_elsewhere, 2001);        /* no SIGPIPE */
}

static void ignore(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)event, (void)user_data;
}

static void rounds(int count)
{
    sprat_node_free(node_called("warm"));
    int threads = settled("task", 1), fds = entries("fd");
    SAME(threads, 1);
    for (int i = 0; i < count; i++) {
        sprat_config *config = settings("round");
        if (i % 2)
            sprat_config_set_event_cb(config, ignore, NULL, NULL);
        sprat_node *node = started(config);
        if (i == 0)
            CHECK(entries("task") <= 3);
        if (i % 3)
            sprat_node_shutdown(node);
        sprat_node_free(node);
    }
    SAME(settled("task", threads), threads);
    SAME(entries("fd"), fds);
}

int main(int argc, char **argv)
{
    alarm(300);
    int count = argc > 1 ? atoi(argv[1]) : 200;
    forks(count / 4);
    signals();
    rounds(count);
    return 0;
}
