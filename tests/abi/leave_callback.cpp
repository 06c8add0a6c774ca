// leave_callback.cpp: callbacks that do not return, on threads of the program. A C++ exception, the
// end of the thread or longjmp() leaves them. The node can be used and freed afterwards.
#include "check.h"
#include <csetjmp>
#include <stdexcept>

static int released;
static jmp_buf before;

static void count_release(void *)
{
    released++;
}

static void throws(sprat_node *, const sprat_event *, void *)
{
    throw std::runtime_error("on purpose");
}

static void exits(sprat_node *, const sprat_event *, void *)
{
    pthread_exit(NULL);
}

static void jumps(sprat_node *, const sprat_event *, void *)
{
    longjmp(before, 1);
}

static void counts(sprat_node *, const sprat_event *, void *user_data)
{
    ++*static_cast<int *>(user_data);
}

static void frees(sprat_node *node, const sprat_event *, void *)
{
    sprat_node_free(node);
}

static void ignore_line(int, const char *, const char *, void *)
{
}

static void throw_line(int, const char *, const char *, void *)
{
    throw 7;
}

// Starts a node with a callback for log lines, whose user_data is released when the node has ended.
static sprat_node *node_with_log(sprat_log_cb cb)
{
    sprat_config *config = settings("left");
    SAME(sprat_config_set_log_cb(config, SPRAT_LOG_DEBUG, cb, &released, count_release), SPRAT_OK);
    released = 0;
    return started(config);
}

// Frees a node. The call must return; if it hangs, alarm() ends the program.
static void free_it(sprat_node *node)
{
    sprat_node_free(node);
    SAME(released, 1);
}

static bool thrown(sprat_node *node)
{
    try {
        sprat_node_dispatch(node, -1, throws, NULL);
    } catch (const std::runtime_error &) {
        return true;
    }
    return false;
}

static void exception()
{
    sprat_node *node = node_with_log(ignore_line);
    CHECK(thrown(node));
    SAME(sprat_node_set_tag(node, "a", "b"), SPRAT_OK);
    CHECK(thrown(node));
    SAME(sprat_node_set_tag(node, "a", "c"), SPRAT_OK);
    int seen = 0;
    SAME(sprat_node_dispatch(node, -1, counts, &seen), seen);
    SAME(seen, 1);
    free_it(node);
}

// Each function that reads events may call the callback for log lines.
template <typename Read> static void exception_in_log(Read read)
{
    sprat_node *node = node_with_log(throw_line);
    bool caught = false;
    while (!caught) {
        try {
            const char *addrs[1] = { "127.0.0.1:1" };
            SAME(sprat_node_join_async(node, addrs, 1, 0, NULL, NULL), SPRAT_OK);
            read(node);
        } catch (int number) {
            caught = number == 7;
        }
    }
    free_it(node);
}

static void read_one(sprat_node *node)
{
    const sprat_event *event;
    SAME(sprat_node_next_event(node, -1, &event), 1);
    sprat_event_free(event);
}

static void read_some(sprat_node *node)
{
    const sprat_event *events[2];
    CHECK(sprat_node_next_events(node, -1, events, 1) == 1);
    sprat_event_free(events[0]);
}

static void dispatch(sprat_node *node)
{
    int seen;
    sprat_node_dispatch(node, -1, counts, &seen);
}

static void *exit_inside(void *node)
{
    sprat_node_dispatch(static_cast<sprat_node *>(node), -1, exits, NULL);
    return node;
}

static void *jump_and_end(void *node)
{
    if (setjmp(before) == 0)
        sprat_node_dispatch(static_cast<sprat_node *>(node), -1, jumps, NULL);
    return NULL;
}

static void thread_that_ends(void *(*run)(void *))
{
    sprat_node *node = node_with_log(ignore_line);
    pthread_t thread;
    SAME(pthread_create(&thread, NULL, run, node), 0);
    void *result = node;
    SAME(pthread_join(thread, &result), 0);
    CHECK(!result);
    free_it(node);
}

static void jump(bool nested)
{
    sprat_node *node = node_with_log(ignore_line);
    for (volatile int round = 0; round < 3; round = round + 1) {
        SAME(sprat_node_set_tag(node, "round", round % 2 ? "a" : "b"), SPRAT_OK);
        if (setjmp(before) == 0)
            sprat_node_dispatch(node, -1, jumps, NULL);
    }
    if (nested) {
        SAME(sprat_node_set_tag(node, "round", "last"), SPRAT_OK);
        SAME(sprat_node_dispatch(node, -1, frees, NULL), 1);
        SAME(released, 1);
    } else {
        free_it(node);
    }
}

static void *free_here(void *node)
{
    free_it(static_cast<sprat_node *>(node));
    return NULL;
}

// Another thread frees the node, while the thread that has jumped waits for the other thread.
static void jump_and_free_elsewhere()
{
    sprat_node *node = node_with_log(ignore_line);
    if (setjmp(before) == 0)
        sprat_node_dispatch(node, -1, jumps, NULL);
    pthread_t thread;
    SAME(pthread_create(&thread, NULL, free_here, node), 0);
    SAME(pthread_join(thread, NULL), 0);
}

static void jump_line(int, const char *, const char *, void *)
{
    longjmp(before, 1);
}

// The callback for log lines runs inside a call that reads events, and jumps out of that call.
static void jump_out_of_log(void (*read)(sprat_node *), bool elsewhere)
{
    sprat_node *node = node_with_log(jump_line);
    volatile bool jumped = false;
    while (!jumped) {
        const char *addrs[1] = { "127.0.0.1:1" };
        SAME(sprat_node_join_async(node, addrs, 1, 0, NULL, NULL), SPRAT_OK);
        if (setjmp(before) == 0)
            read(node);
        else
            jumped = true;
    }
    pthread_t thread;
    if (elsewhere) {
        SAME(pthread_create(&thread, NULL, free_here, node), 0);
        SAME(pthread_join(thread, NULL), 0);
    } else {
        free_it(node);
    }
}

int main(int argc, char **)
{
    alarm(300);
    exception();
    exception_in_log(read_one);
    exception_in_log(read_some);
    exception_in_log(dispatch);
    thread_that_ends(exit_inside);
    if (argc > 1) { // a jump leaks the event that the callback borrowed
        thread_that_ends(jump_and_end);
        jump(false);
        jump(true);
        jump_and_free_elsewhere();
        for (bool elsewhere : { false, true }) {
            jump_out_of_log(read_one, elsewhere);
            jump_out_of_log(read_some, elsewhere);
            jump_out_of_log(dispatch, elsewhere);
        }
    }
    return 0;
}
