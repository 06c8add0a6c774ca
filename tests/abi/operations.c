/* operations.c: operations that no call waits for. Their DONE events bring back the pointer of the
 * program, and never come before the number of the operation is stored. */
#include "check.h"
#include <sys/epoll.h>

enum { ROUNDS = 300 };

struct operation {
    uint64_t id;
    int status;                                 /* the status that the event must report */
};

static atomic_int done;

static void on_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)user_data;
    if (event->kind != SPRAT_EVENT_DONE) {
        CHECK(!event->op_data);
        return;
    }
    struct operation *operation = event->op_data;
    CHECK(event->id != 0);
    SAME(operation->id, event->id);
    SAME(event->status, operation->status);
    free(operation);                            /* the library must not touch it any more */
    done++;
}

static struct operation *operation(int status)
{
    struct operation *operation = calloc(1, sizeof *operation);
    CHECK(operation);
    operation->status = status;
    return operation;
}

static void begin_all(sprat_node *node)
{
    const char *refused[1] = { "127.0.0.1:1" };
    for (int round = 0; round < ROUNDS; round++) {
        struct operation *join = operation(SPRAT_ERR_UNREACHABLE);
        SAME(sprat_node_join_async(node, refused, 1, 0, join, &join->id), SPRAT_OK);
    }
    struct operation *leave = operation(SPRAT_OK);
    SAME(sprat_node_leave_async(node, leave, &leave->id), SPRAT_OK);
}

static void in_a_callback(void)
{
    sprat_config *config = settings("callback");
    SAME(sprat_config_set_event_cb(config, on_event, NULL, NULL), SPRAT_OK);
    sprat_node *node = started(config);
    done = 0;
    begin_all(node);
    while (done < ROUNDS + 1)                   /* alarm() limits the wait */
        pause_ms(1);
    sprat_node_free(node);
}

static void *read_events(void *node)
{
    while (done < ROUNDS + 1)
        CHECK(sprat_node_dispatch(node, 1000, on_event, NULL) >= 0);
    return NULL;
}

static void on_another_thread(void)
{
    sprat_node *node = node_called("thread");
    pthread_t reader;
    done = 0;
    SAME(pthread_create(&reader, NULL, read_events, node), 0);
    begin_all(node);
    SAME(pthread_join(reader, NULL), 0);
    sprat_node_free(node);
}

static void of_a_hint(void)
{
    sprat_node *a = node_called("a"), *b = node_called("b");
    join(a, b);
    uint64_t id = 7;
    SAME(sprat_node_hint(a, "b", &id, &id), SPRAT_OK);
    const sprat_event *event;
    for (;;) {
        SAME(sprat_node_next_event(a, -1, &event), 1);
        if (event->kind == SPRAT_EVENT_DONE)
            break;
        sprat_event_free(event);
    }
    CHECK(event->op_data == &id && event->id == id);
    const sprat_event *copy = sprat_event_copy(event);
    CHECK(copy->op_data == &id);
    sprat_event_free(copy);
    sprat_event_free(event);
    id = 7;
    SAME(sprat_node_hint(a, "nobody", NULL, &id), SPRAT_ERR_NOT_FOUND);
    SAME(id, 0);
    sprat_node_free(a);
    sprat_node_free(b);
}

static int edges, poller;

/* Causes further events while it handles the events that were queued. */
static void make_more(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)event;
    int *more = user_data;
    if (*more > 0)
        SAME(sprat_node_set_tag(node, "more", --*more % 2 ? "odd" : "even"), SPRAT_OK);
}

static int next_edge(int timeout_ms)
{
    struct epoll_event ready;
    int count = epoll_wait(poller, &ready, 1, timeout_ms);
    edges += count > 0;
    return count;
}

/* One call of dispatch delivers all events that are queued. A poller that reports only changes also
 * reports the events that come meanwhile. */
static void with_edges(void)
{
    enum { EVENTS = 5000 };
    sprat_config *config = settings("edges");
    SAME(sprat_config_set(config, "event_queue", "20000"), SPRAT_OK);
    sprat_node *node = started(config);
    int fd = sprat_node_fd(node), more = 0;
    struct epoll_event edge = { .events = EPOLLIN | EPOLLET };
    poller = epoll_create1(0);
    CHECK(poller >= 0 && epoll_ctl(poller, EPOLL_CTL_ADD, fd, &edge) == 0);
    for (int i = 0; i < EVENTS; i++)
        SAME(sprat_node_set_tag(node, "number", i % 2 ? "odd" : "even"), SPRAT_OK);
    SAME(next_edge(60000), 1);
    int queued = sprat_node_dispatch(node, 0, make_more, &more);
    CHECK(queued >= EVENTS);
    SAME(sprat_node_dispatch(node, 0, make_more, &more), 0);

    SAME(sprat_node_set_tag(node, "number", "first"), SPRAT_OK);
    more = 20;
    int seen = 0;
    while (seen < 21) {
        SAME(next_edge(60000), 1);
        seen += sprat_node_dispatch(node, 0, make_more, &more);
    }
    SAME(seen, 21);
    const sprat_event *some[4];
    for (int i = 0; i < 10; i++)
        SAME(sprat_node_set_tag(node, "number", i % 2 ? "odd" : "even"), SPRAT_OK);
    for (seen = 0; seen < 10;) {
        SAME(next_edge(60000), 1);
        int got = sprat_node_next_events(node, 0, some, 4);
        CHECK(got >= 0);
        for (int i = 0; i < got; i++)
            sprat_event_free(some[i]);
        seen += got;
    }
    CHECK(edges >= 5);
    close(poller);
    sprat_node_free(node);
}

static sprat_node *chatty;

/* Causes further log lines for each line, and waits until the engine has written some of them. */
static void on_line(int level, const char *target, const char *message, void *user_data)
{
    const char *refused[1] = { "127.0.0.1:1" };
    (void)level, (void)target, (void)message;
    ++*(int *)user_data;
    SAME(sprat_node_join_async(chatty, refused, 1, 0, NULL, NULL), SPRAT_OK);
    SAME(sprat_node_set_tag(chatty, "line", "read"), SPRAT_OK);
}

/* Each call that reads events ends, although the callback for log lines causes a line for each line
 * that it gets. */
static void endless_log(void)
{
    sprat_config *config = settings("chatty");
    int lines = 0, more = 0;
    const sprat_event *event;
    SAME(sprat_config_set(config, "event_kinds", "member-failed"), SPRAT_OK);
    SAME(sprat_config_set_log_cb(config, SPRAT_LOG_DEBUG, on_line, &lines, NULL), SPRAT_OK);
    chatty = started(config);
    const char *refused[1] = { "127.0.0.1:1" };
    SAME(sprat_node_join_async(chatty, refused, 1, 0, NULL, NULL), SPRAT_OK);
    while (lines == 0)
        SAME(sprat_node_next_event(chatty, 0, &event), 0);
    SAME(sprat_node_next_event(chatty, 20, &event), 0);
    SAME(sprat_node_next_events(chatty, 0, &event, 1), 0);
    SAME(sprat_node_dispatch(chatty, 0, make_more, &more), 0);
    sprat_node_free(chatty);
}

int main(void)
{
    alarm(300);
    endless_log();
    in_a_callback();
    on_another_thread();
    of_a_hint();
    with_edges();
    return 0;
}
