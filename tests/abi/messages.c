/* messages.c: user events and queries between two nodes of one process. */
#include "check.h"

static sprat_node *a, *b;

#define FAILS(call, expected, words)                                                             \
    do {                                                                                         \
        SAME(call, expected);                                                                    \
        CHECK(strstr(sprat_last_error(), words));                                                \
    } while (0)

static void user_events(void)
{
    SAME(sprat_node_send_event(a, "deploy", "v\0002", 3, 0), SPRAT_OK);
    SAME(sprat_node_send_event(b, "empty", NULL, 0, SPRAT_SEND_EVENT_COALESCE), SPRAT_OK);
    sprat_node *nodes[2] = { a, b };
    for (int i = 0; i < 2; i++) {
        bool deploy = false, empty = false;
        while (!deploy || !empty) {
            const sprat_event *event = next_of_kind(nodes[i], SPRAT_EVENT_USER);
            const sprat_event *copy = sprat_event_copy(event);
            sprat_event_free(event);
            CHECK(copy->ltime > 0 && copy->id == 0 && !copy->member && copy->payload);
            if (strcmp(copy->name, "deploy") == 0) {
                CHECK(copy->payload_len == 3 && memcmp(copy->payload, "v\0002", 3) == 0);
                deploy = true;
            } else {
                SAME(strcmp(copy->name, "empty"), 0);
                SAME(copy->payload_len, 0);
                empty = true;
            }
            sprat_event_free(copy);
        }
    }
}

static void *answer(void *arg)
{
    (void)arg;
    const sprat_event *event = next_of_kind(b, SPRAT_EVENT_QUERY);
    SAME(strcmp(event->name, "load"), 0);
    SAME(strcmp(event->text, "a"), 0);
    CHECK(event->payload_len == 3 && memcmp(event->payload, "1 m", 3) == 0);
    CHECK(event->time_ms > 0 && event->time_ms <= 60000);
    char large[2000] = { 0 };
    FAILS(sprat_node_respond(b, event->id, large, sizeof large), SPRAT_ERR_TOO_LARGE, "1024");
    SAME(sprat_node_respond(b, event->id, "0.5", 3), SPRAT_OK);
    FAILS(sprat_node_respond(b, event->id, "0.6", 3), SPRAT_ERR_STATE, "already");
    FAILS(sprat_node_respond(b, event->id + 1, "", 0), SPRAT_ERR_NOT_FOUND, "no such query");
    sprat_event_free(event);
    return NULL;
}

static void query_with_events(void)
{
    const char *nodes[1] = { "b" };
    sprat_tag tags[1] = { { "none", "^$" } };
    sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;
    options.timeout_ms = 60000;
    options.want_ack = true;
    options.nodes = nodes, options.nnodes = 1;
    options.tags = tags, options.ntags = 1;
    pthread_t thread;
    SAME(pthread_create(&thread, NULL, answer, NULL), 0);
    uint64_t id = 0;
    int data;
    SAME(sprat_node_query(a, "load", "1 m", 3, &options, &data, &id), SPRAT_OK);
    bool acked = false, answered = false, done = false;
    while (!done) {
        const sprat_event *event;
        SAME(sprat_node_next_event(a, -1, &event), 1);
        if (event->kind == SPRAT_EVENT_QUERY_ACK || event->kind == SPRAT_EVENT_QUERY_RESPONSE) {
            SAME(event->id, id);
            SAME(strcmp(event->name, "b"), 0);
        }
        acked |= event->kind == SPRAT_EVENT_QUERY_ACK;
        if (event->kind == SPRAT_EVENT_QUERY_RESPONSE) {
            CHECK(event->payload_len == 3 && memcmp(event->payload, "0.5", 3) == 0);
            answered = true;
        }
        if (event->kind == SPRAT_EVENT_DONE) {
            CHECK(event->id == id && event->op_data == &data);
            SAME(event->status, SPRAT_OK);
            done = true;
        }
        sprat_event_free(event);
    }
    CHECK(acked && answered);
    pthread_join(thread, NULL);
}

static void query_that_waits(void)
{
    const char *nodes[1] = { "b" };
    sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;
    options.timeout_ms = 60000;
    options.nodes = nodes, options.nnodes = 1;
    pthread_t thread;
    SAME(pthread_create(&thread, NULL, answer, NULL), 0);
    sprat_answers *answers;
    SAME(sprat_node_query_wait(a, "load", "1 m", 3, &options, &answers), 1);
    pthread_join(thread, NULL);
    SAME(sprat_answers_count(answers), 1);
    SAME(sprat_answers_acks(answers), 0);
    CHECK(!sprat_answers_missing(answers, 0));
    SAME(strcmp(sprat_answers_problem(answers), ""), 0);
    const uint8_t *payload;
    size_t len;
    SAME(strcmp(sprat_answers_get(answers, 0, &payload, &len), "b"), 0);
    CHECK(len == 3 && memcmp(payload, "0.5", 3) == 0);
    CHECK(!sprat_answers_get(answers, 1, &payload, &len) && !payload && len == 0);
    sprat_answers_free(answers);
    options.want_ack = true;
    options.nnodes = 0;
    SAME(sprat_node_query_wait(a, "_serf_ping", NULL, 0, &options, &answers), 0);
    SAME(sprat_answers_acks(answers), 2);
    sprat_answers_free(answers);
    options.timeout_ms = 1;
    SAME(sprat_node_query_wait(a, "silence", NULL, 0, &options, &answers), 0);
    SAME(strcmp(sprat_answers_missing(answers, 0), "a"), 0);
    SAME(strcmp(sprat_answers_missing(answers, 1), "b"), 0);
    CHECK(!sprat_answers_missing(answers, 2));
    CHECK(strstr(sprat_answers_problem(answers), "an ack or answer from: a, b (each has failed"));
    sprat_answers_free(answers);
    options.timeout_ms = 60000;
    nodes[0] = "typo";
    options.nodes = nodes, options.nnodes = 1;
    SAME(sprat_node_query_wait(a, "silence", NULL, 0, &options, &answers), 0);
    SAME(strcmp(sprat_answers_missing(answers, 0), "typo"), 0);
    CHECK(strstr(sprat_answers_problem(answers), "from: typo (each has failed, has not replied in"
                                                 " time, or is not a member)"));
    sprat_answers_free(answers);
}

static void cancelled(void)
{
    sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;
    options.timeout_ms = 600000;
    uint64_t id;
    SAME(sprat_node_query(a, "silence", NULL, 0, &options, NULL, &id), SPRAT_OK);
    SAME(sprat_node_cancel_query(a, id + 100), SPRAT_OK);
    SAME(sprat_node_cancel_query(a, id), SPRAT_OK);
    const sprat_event *event = next_of_kind(a, SPRAT_EVENT_DONE);
    CHECK(event->id == id && event->status == SPRAT_ERR_TIMEOUT);
    sprat_event_free(event);
    SAME(sprat_node_query(a, "silence", NULL, 0, &options, NULL, &id), SPRAT_OK);
    sprat_node_shutdown(a);
    event = next_of_kind(a, SPRAT_EVENT_DONE);
    CHECK(event->id == id && event->status == SPRAT_ERR_CLOSED);
    sprat_event_free(event);
}

int main(void)
{
    alarm(600);
    a = started(settings("a"));
    b = started(settings("b"));
    join(b, a);
    user_events();
    query_with_events();
    query_that_waits();
    cancelled();
    sprat_node_free(a);
    sprat_node_free(b);
    puts("ok");
    return 0;
}
