/* cancel.c: pthread_cancel() ends threads inside callbacks that calls of the library run. Other
 * threads go on, and the node can be used and freed afterwards. alarm() ends the program if a call
 * hangs. */
#include "check.h"

/* Marks a function with local variables that a cancelled thread leaves. AddressSanitizer does not
 * notice that: it would keep the surroundings of the variables marked as forbidden, and report the
 * next use of that part of the stack. So it must not instrument the function. */
#define LEFT __attribute__((no_sanitize_address))

static atomic_int entered, cleaned, released;

static void count_release(void *user_data)
{
    CHECK(user_data == &released);
    released++;
}

/* Blocks in a cancellation point until the thread is cancelled. */
static void block(void)
{
    entered++;
    for (;;)
        pause();
}

static void block_at_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)event, (void)user_data;
    block();
}

static void block_at_line(int level, const char *target, const char *message, void *user_data)
{
    (void)level, (void)target, (void)message, (void)user_data;
    block();
}

static void ignore_line(int level, const char *target, const char *message, void *user_data)
{
    (void)level, (void)target, (void)message, (void)user_data;
}

/* Starts a node with a callback for log lines, whose user_data is released when the node has
 * ended. */
static sprat_node *node_with_log(sprat_log_cb cb)
{
    sprat_config *config = settings("cancel");
    SAME(sprat_config_set_log_cb(config, SPRAT_LOG_DEBUG, cb, &released, count_release), SPRAT_OK);
    entered = cleaned = released = 0;
    return started(config);
}

static pthread_t thread(void *(*run)(void *), void *arg)
{
    pthread_t id;
    SAME(pthread_create(&id, NULL, run, arg), 0);
    return id;
}

static void *dispatch(void *node)
{
    sprat_node_dispatch(node, -1, block_at_event, NULL);
    return NULL;
}

static void wait_until_entered(int count)
{
    while (entered < count)
        pause_ms(1);
}

static void join_cancelled(pthread_t id)
{
    void *result;
    SAME(pthread_join(id, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
}

static void cancel(pthread_t id)
{
    SAME(pthread_cancel(id), 0);
    join_cancelled(id);
}

/* Takes two events, each of which reports that this node has a new tag. */
static void *read_updates(void *node)
{
    for (int i = 0; i < 2; i++) {
        const sprat_event *event;
        SAME(sprat_node_next_event(node, -1, &event), 1);
        SAME(event->kind, SPRAT_EVENT_MEMBER_UPDATE);
        sprat_event_free(event);
    }
    return NULL;
}

/* The event of the callback counts as delivered. A later event that was already queued stays
 * queued, and a thread that waits for events gets it, and events that come afterwards. */
static void other_threads_go_on(void)
{
    sprat_node *node = node_with_log(ignore_line);
    pthread_t blocked = thread(dispatch, node);
    wait_until_entered(1);                      /* with the event of the node's own join */
    SAME(sprat_node_set_tag(node, "key", "queued"), SPRAT_OK);
    pthread_t reading = thread(read_updates, node);
    cancel(blocked);
    SAME(sprat_node_set_tag(node, "key", "later"), SPRAT_OK);
    SAME(pthread_join(reading, NULL), 0);
    sprat_node_free(node);
    SAME(released, 1);
}

static void *free_it(void *node)
{
    sprat_node_free(node);
    SAME(released, 1);
    return NULL;
}

/* Another thread is already freeing the node when the callback's thread is cancelled. */
static void during_a_free(void)
{
    sprat_node *node = node_with_log(ignore_line);
    pthread_t blocked = thread(dispatch, node);
    wait_until_entered(1);
    pthread_t freeing = thread(free_it, node);
    while (sprat_node_state(node) != SPRAT_ERR_HANDLE)
        pause_ms(1);
    SAME(released, 0);
    cancel(blocked);
    SAME(pthread_join(freeing, NULL), 0);
    SAME(released, 1);
}

static void free_in_cleanup(void *node)
{
    sprat_node_free(node);
    SAME(sprat_node_state(node), SPRAT_ERR_HANDLE);
    cleaned++;
}

LEFT static void block_with_cleanup(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)event, (void)user_data;
    pthread_cleanup_push(free_in_cleanup, node);
    block();
    pthread_cleanup_pop(0);
}

static void *dispatch_with_cleanup(void *node)
{
    sprat_node_dispatch(node, -1, block_with_cleanup, NULL);
    return NULL;
}

/* A cleanup handler of the callback frees the node, as the callback itself may do. */
static void free_in_a_cleanup_handler(void)
{
    pthread_t blocked = thread(dispatch_with_cleanup, node_with_log(ignore_line));
    wait_until_entered(1);
    cancel(blocked);
    SAME(cleaned, 1);
    SAME(released, 1);
}

static void *cancel_and_dispatch(void *node)
{
    pthread_cancel(pthread_self());
    return dispatch(node);
}

LEFT static void *cancel_and_read(void *node)
{
    const sprat_event *event;
    pthread_cancel(pthread_self());
    SAME(sprat_node_next_event(node, -1, &event), 1);
    sprat_event_free(event);
    entered++;
    pthread_testcancel();
    return NULL;
}

/* A cancel that is already pending takes effect in the callback or after the call, and never while
 * the library works or waits. */
static void a_pending_cancel(void *(*run)(void *))
{
    sprat_node *node = node_with_log(ignore_line);
    join_cancelled(thread(run, node));
    SAME(entered, 1);
    free_it(node);
}

LEFT static void *read_one(void *node)
{
    const sprat_event *event;
    while (sprat_node_next_event(node, -1, &event) == 1)
        sprat_event_free(event);
    return NULL;
}

LEFT static void *read_some(void *node)
{
    const sprat_event *events[4];
    int count;
    while ((count = sprat_node_next_events(node, -1, events, 4)) > 0)
        while (count > 0)
            sprat_event_free(events[--count]);
    return NULL;
}

static void ignore_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)event, (void)user_data;
}

static void *dispatch_some(void *node)
{
    while (sprat_node_dispatch(node, -1, ignore_event, NULL) > 0)
        ;
    return NULL;
}

/* Each call that reads events may run the callback for log lines. A join to a port at which nobody
 * listens logs a line. */
static void in_the_log_callback(void *(*read)(void *))
{
    sprat_node *node = node_with_log(block_at_line);
    pthread_t reading = thread(read, node);
    const char *addrs[1] = { "127.0.0.1:1" };
    SAME(sprat_node_join_async(node, addrs, 1, 0, NULL, NULL), SPRAT_OK);
    wait_until_entered(1);
    cancel(reading);
    free_it(node);
}

int main(void)
{
    alarm(300);
    other_threads_go_on();
    during_a_free();
    free_in_a_cleanup_handler();
    a_pending_cancel(cancel_and_dispatch);
    a_pending_cancel(cancel_and_read);
    in_the_log_callback(read_one);
    in_the_log_callback(read_some);
    in_the_log_callback(dispatch_some);
    return 0;
}
