/* waits.c: ends a node while a call waits, once for each call that can wait. The call must return
 * soon, with an error that names the call. A signal or a cancellation of the thread must not end the
 * wait. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static char silent[32];                         /* the address of a listener that never answers */

static void listen_silently(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0 && listen(fd, 100) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    snprintf(silent, sizeof silent, "127.0.0.1:%d", ntohs(addr.sin_port));
}

static int wait_join(sprat_node *node)
{
    const char *addrs[1] = { silent };
    return sprat_node_join(node, addrs, 1, 0, -1);
}

static int wait_look(sprat_node *node)
{
    sprat_members *members;
    int status = sprat_node_look(node, silent, 0, -1, &members);
    CHECK(!members);
    return status;
}

static int wait_leave(sprat_node *node)
{
    return sprat_node_leave(node, -1);
}

static int wait_spread(sprat_node *node)
{
    SAME(sprat_node_set_tag(node, "a", "b"), SPRAT_OK);
    return sprat_node_spread(node, -1);
}

/* Reads the events that were queued before the end, and returns the error that follows them. */
static int wait_event(sprat_node *node)
{
    const sprat_event *event;
    int count;
    while ((count = sprat_node_next_event(node, -1, &event)) == 1)
        sprat_event_free(event);
    CHECK(!event);
    return count;
}

static int wait_events(sprat_node *node)
{
    const sprat_event *events[8];
    int count;
    while ((count = sprat_node_next_events(node, -1, events, 8)) > 0)
        for (int i = 0; i < count; i++)
            sprat_event_free(events[i]);
    return count;
}

static void ignore(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)event, (void)user_data;
}

static int wait_dispatch(sprat_node *node)
{
    int count;
    while ((count = sprat_node_dispatch(node, -1, ignore, NULL)) > 0)
        ;
    return count;
}

struct waiting {
    sprat_node *node;
    int (*call)(sprat_node *);
    const char *function;
    atomic_int begun, over;
};

static void *wait_for_end(void *data)
{
    struct waiting *waiting = data;
    waiting->begun = 1;
    int result = waiting->call(waiting->node);
    SAME(result, SPRAT_ERR_CLOSED);
    SAME(sprat_last_status(), SPRAT_ERR_CLOSED);
    CHECK(strstr(sprat_last_error(), waiting->function));
    waiting->over = 1;
    return NULL;
}

static int shut_down(sprat_node *node)
{
    return sprat_node_shutdown(node);
}

static int free_it(sprat_node *node)
{
    sprat_node_free(node);
    return SPRAT_OK;
}

/* For each of the calls, ends a node while a thread waits in that call. */
static void while_waiting(int (*end)(sprat_node *))
{
    struct waiting calls[] = {
        { .call = wait_join, .function = "sprat_node_join" },
        { .call = wait_look, .function = "sprat_node_look" },
        { .call = wait_leave, .function = "sprat_node_leave" },
        { .call = wait_spread, .function = "sprat_node_spread" },
        { .call = wait_event, .function = "sprat_node_next_event" },
        { .call = wait_events, .function = "sprat_node_next_events" },
        { .call = wait_dispatch, .function = "sprat_node_dispatch" },
    };
    sprat_node *other = node_called("other");
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        /* Each node needs its own name: in a name conflict, a leave is silent and does not wait. */
        sprat_config *config = settings(calls[i].function);
        SAME(sprat_config_set(config, "leave_propagate_ms", "60000"), SPRAT_OK);
        SAME(sprat_config_set(config, "gossip_interval_ms", "60000"), SPRAT_OK);
        SAME(sprat_config_set(config, "retransmit_mult", "100"), SPRAT_OK);
        /* An event at the end would make a reader call again, with a handle that is freed. */
        SAME(sprat_config_set(config, "event_kinds", "done"), SPRAT_OK);
        SAME(sprat_config_set(config, "stream_timeout_ms", "60000"), SPRAT_OK);
        sprat_node *node = calls[i].node = started(config);
        join(node, other);
        pthread_t thread;
        SAME(pthread_create(&thread, NULL, wait_for_end, &calls[i]), 0);
        while (!calls[i].begun)
            pause_ms(1);
        pause_ms(200);
        SAME(calls[i].over, 0);
        SAME(end(node), SPRAT_OK);
        SAME(pthread_join(thread, NULL), 0);    /* alarm() limits the wait */
        SAME(calls[i].over, 1);
        sprat_node_free(node);
    }
    sprat_node_free(other);
}

/* An event reports the end of an operation that no call waits for. */
static void without_waiting(void)
{
    sprat_node *node = node_called("async");
    const char *addrs[1] = { silent };
    const sprat_event *event;
    uint64_t id = 0;
    SAME(sprat_node_join_async(node, addrs, 1, 0, &id, &id), SPRAT_OK);
    SAME(sprat_node_shutdown(node), SPRAT_OK);
    SAME(sprat_node_next_event(node, -1, &event), 1);
    while (event->kind != SPRAT_EVENT_DONE) {
        sprat_event_free(event);
        SAME(sprat_node_next_event(node, -1, &event), 1);
    }
    CHECK(event->id == id && event->op_data == &id && event->status == SPRAT_ERR_CLOSED);
    sprat_event_free(event);
    sprat_node_free(node);
}

static void *wait_in_vain(void *node)
{
    SAME(wait_join(node), SPRAT_ERR_NAME_CONFLICT);
    CHECK(strstr(sprat_last_error(), "\"twin\" is in use"));
    return NULL;
}

/* Another member has the name of the node. A join then fails, even a join that is already waiting,
 * and the node reports the conflict. */
static void name_conflict(void)
{
    sprat_node *other = node_called("other"), *twin = node_called("twin");
    join(twin, other);
    sprat_node *late = node_called("twin");
    pthread_t thread;
    SAME(pthread_create(&thread, NULL, wait_in_vain, late), 0);
    usleep(100000);
    char addr[64];
    const char *addrs[1] = { addr };
    SAME(sprat_node_addr(other, addr, sizeof addr), SPRAT_OK);
    SAME(sprat_node_join(late, addrs, 1, 0, -1), SPRAT_ERR_NAME_CONFLICT);
    SAME(pthread_join(thread, NULL), 0);
    const sprat_event *event;
    do
        SAME(sprat_node_next_event(late, 60000, &event), 1);
    while (event->kind != SPRAT_EVENT_FATAL && (sprat_event_free(event), 1));
    SAME(event->status, SPRAT_ERR_NAME_CONFLICT);
    sprat_event_free(event);
    sprat_health *health;
    SAME(sprat_node_health(late, &health), SPRAT_OK);
    CHECK(health->name_conflict_alive && strstr(health->summary, "name"));
    SAME(sprat_node_addr(twin, addr, sizeof addr), SPRAT_OK);
    CHECK(health->name_conflict && strcmp(health->name_conflict, addr) == 0);
    sprat_health_free(health);
    SAME(sprat_node_state(late), SPRAT_NODE_RUNNING);
    sprat_node_free(late);
    sprat_node_free(other);
    sprat_node_free(twin);
}

static void *set_tags(void *node)
{
    for (int round = 0;; round++) {
        SAME(sprat_node_set_tag(node, "round", round % 2 ? "odd" : "even"), SPRAT_OK);
        pthread_testcancel();
    }
}

static void *wait_and_end(void *node)
{
    CHECK(wait_event(node) < 0);
    pthread_testcancel();
    return NULL;
}

static sprat_node *cancelled(void *(*run)(void *), pthread_t *thread)
{
    sprat_node *node = node_called("cancelled");
    SAME(pthread_create(thread, NULL, run, node), 0);
    pause_ms(10);
    SAME(pthread_cancel(*thread), 0);
    return node;
}

/* A thread that is cancelled in a call ends when the call has returned. The node stays usable. */
static void cancelled_threads(void)
{
    pthread_t thread;
    void *result;
    for (int round = 0; round < 20; round++) {
        sprat_node *node = cancelled(set_tags, &thread);
        SAME(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        SAME(sprat_node_set_tag(node, "round", "last"), SPRAT_OK);
        sprat_node_free(node);
    }
    sprat_node *node = cancelled(wait_and_end, &thread);
    SAME(sprat_node_shutdown(node), SPRAT_OK);
    SAME(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    sprat_node_free(node);
}

static atomic_int signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static atomic_int is_waiting;

/* Sends a signal to a thread again and again while it waits. */
static void *interrupt(void *thread)
{
    while (is_waiting) {
        SAME(pthread_kill(*(pthread_t *)thread, SIGUSR1), 0);
        pause_ms(2);
    }
    return NULL;
}

enum { WAIT_MS = 400 };

static int timed_join(sprat_node *node)
{
    const char *addrs[1] = { silent };
    return sprat_node_join(node, addrs, 1, 0, WAIT_MS);
}

static int timed_look(sprat_node *node)
{
    sprat_members *members;
    return sprat_node_look(node, silent, 0, WAIT_MS, &members);
}

static int timed_spread(sprat_node *node)
{
    SAME(sprat_node_set_tag(node, "a", "b"), SPRAT_OK);
    return sprat_node_spread(node, WAIT_MS);
}

static int timed_query(sprat_node *node)
{
    sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;
    sprat_answers *answers;
    options.timeout_ms = WAIT_MS;
    int count = sprat_node_query_wait(node, "unanswered", NULL, 0, &options, &answers);
    sprat_answers_free(answers);
    return count;
}

static int timed_event(sprat_node *node)
{
    const sprat_event *event;
    return sprat_node_next_event(node, WAIT_MS, &event);
}

static int timed_events(sprat_node *node)
{
    const sprat_event *events[8];
    return sprat_node_next_events(node, WAIT_MS, events, 8);
}

static int timed_dispatch(sprat_node *node)
{
    return sprat_node_dispatch(node, WAIT_MS, ignore, NULL);
}

static int timed_leave(sprat_node *node)
{
    return sprat_node_leave(node, WAIT_MS);
}

static long long now_ms(void)
{
    struct timespec now;
    SAME(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Each call waits for its whole time, although a signal handler runs in the meantime that was
 * installed without SA_RESTART: the kernel does not resume a wait by itself then. */
static void interrupted_waits(void)
{
    struct { int (*call)(sprat_node *); int result; } calls[] = {
        { timed_event, 0 }, { timed_events, 0 }, { timed_dispatch, 0 }, { timed_query, 0 },
        { timed_join, SPRAT_ERR_TIMEOUT }, { timed_look, SPRAT_ERR_TIMEOUT },
        { timed_spread, SPRAT_ERR_TIMEOUT }, { timed_leave, SPRAT_ERR_TIMEOUT },
    };
    struct sigaction action = { .sa_handler = on_signal };
    SAME(sigaction(SIGUSR1, &action, NULL), 0);
    sprat_node *other = node_called("other");
    sprat_config *config = settings("interrupted");
    SAME(sprat_config_set(config, "gossip_interval_ms", "60000"), SPRAT_OK);
    SAME(sprat_config_set(config, "leave_propagate_ms", "60000"), SPRAT_OK);
    SAME(sprat_config_set(config, "event_kinds", "done"), SPRAT_OK);
    sprat_node *node = started(config);
    join(node, other);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        pthread_t self = pthread_self(), thread;
        is_waiting = 1;
        signals = 0;
        SAME(pthread_create(&thread, NULL, interrupt, &self), 0);
        long long begun = now_ms();
        SAME(calls[i].call(node), calls[i].result);
        CHECK(now_ms() - begun >= WAIT_MS);
        is_waiting = 0;
        SAME(pthread_join(thread, NULL), 0);
        CHECK(signals > 1);
    }
    sprat_node_free(node);
    sprat_node_free(other);
}

int main(void)
{
    alarm(300);
    cancelled_threads();
    listen_silently();
    interrupted_waits();
    while_waiting(shut_down);
    while_waiting(free_it);
    without_waiting();
    name_conflict();
    return 0;
}
