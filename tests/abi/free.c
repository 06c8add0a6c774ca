/* free.c: frees a node inside its own callback, and while other threads are inside calls. */
#include "check.h"

static atomic_int running, ended, freed, late;
static _Atomic(sprat_node *) known;

static void count_free(void *user_data)
{
    CHECK(user_data == &freed);
    SAME(running, 0);
    freed++;
}

static void free_it(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)event;
    CHECK(user_data == &freed);
    late += ended;                              /* no callback may run after the free */
    running = 1;
    sprat_node_free(node);
    SAME(sprat_node_state(node), SPRAT_ERR_HANDLE);
    sprat_node_free(node);
    ended = 1;
    running = 0;
}

/* Every node gets at least one event: the one that reports its own join. */
static void inside_the_callback(void)
{
    for (int round = 0; round < 100; round++) {
        ended = freed = 0;
        sprat_config *config = settings("inside");
        SAME(sprat_config_set_event_cb(config, free_it, &freed, count_free), SPRAT_OK);
        sprat_node *node = started(config);
        sprat_node_set_tag(node, "round", "x");
        for (int i = 0; i < 5000 && !freed; i++)
            pause_ms(1);
        SAME(freed, 1);
    }
    SAME(late, 0);
}

static void inside_dispatch(void)
{
    sprat_node *node = node_called("dispatch");
    ended = freed = 0;
    for (int i = 0; i < 50 && !ended; i++)
        SAME(sprat_node_dispatch(node, 1000, free_it, &freed), 1);
    SAME(ended, 1);
    SAME(sprat_node_dispatch(node, 0, free_it, &freed), SPRAT_ERR_HANDLE);
}

/* Checks that the callback is given the node that the program started. The callback is slow, so
 * that another thread frees the node while the callback runs. */
static void slow(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)event, (void)user_data;
    running = 1;
    for (int i = 0; i < 1000 && !known; i++)
        pause_ms(1);
    CHECK(node == known);
    pause_ms(30);
    running = 0;
}

static void elsewhere(void)
{
    for (int round = 0; round < 10; round++) {
        freed = 0;
        known = NULL;
        sprat_config *config = settings("elsewhere");
        SAME(sprat_config_set_event_cb(config, slow, &freed, count_free), SPRAT_OK);
        sprat_node *node = started(config);
        known = node;
        sprat_node_set_tag(node, "round", "x");
        pause_ms(round);
        sprat_node_free(node);
        SAME(running, 0);
        SAME(freed, 1);
    }
}

static atomic_int stop, calls;

static int allowed(int result)
{
    calls++;
    return result >= 0 || result == SPRAT_ERR_HANDLE || result == SPRAT_ERR_CLOSED;
}

static void *hammer(void *arg)
{
    (void)arg;
    while (!stop) {
        sprat_node *node = known;
        sprat_members *members;
        const sprat_event *event;
        CHECK(allowed(sprat_node_state(node)));
        CHECK(allowed(sprat_node_set_tag(node, "x", calls % 2 ? "1" : "2")));
        if (sprat_node_members(node, &members) == SPRAT_OK)
            sprat_members_free(members);
        int got = sprat_node_next_event(node, 0, &event);
        CHECK(allowed(got));
        if (got == 1)
            sprat_event_free(event);
    }
    return NULL;
}

static void *wait_for_ever(void *arg)
{
    (void)arg;
    const sprat_event *event;
    int got;
    while ((got = sprat_node_next_event(known, -1, &event)) == 1)
        sprat_event_free(event);
    CHECK(got == SPRAT_ERR_CLOSED || got == SPRAT_ERR_HANDLE);
    return NULL;
}

static void under_fire(int rounds)
{
    pthread_t threads[2], waiting;
    known = node_called("fire");
    for (int i = 0; i < 2; i++)
        SAME(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (int round = 0; round < rounds; round++) {
        sprat_node *old = known;
        SAME(pthread_create(&waiting, NULL, wait_for_ever, NULL), 0);
        pause_ms(5);
        sprat_node_free(old);
        SAME(pthread_join(waiting, NULL), 0);
        known = node_called("fire");
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        SAME(pthread_join(threads[i], NULL), 0);
    sprat_node_free(known);
    CHECK(calls > rounds);
}

int main(int argc, char **argv)
{
    alarm(300);
    inside_the_callback();
    inside_dispatch();
    elsewhere();
    under_fire(argc > 1 ? atoi(argv[1]) : 50);
    return 0;
}
