/* memberlist.c: messages, states and payloads of acks between two nodes of one process in mode "memberlist". */
#include "check.h"

static char large[300000];

static sprat_node *memberlist_node(const char *name)
{
    sprat_config *config = settings(name);
    SAME(sprat_config_set(config, "mode", "memberlist"), SPRAT_OK);
    SAME(sprat_config_set(config, "ping_acks", "true"), SPRAT_OK);
    return started(config);
}

/* Takes the next message, which must be from node a. */
static void is_message(sprat_node *node, const char *expected, size_t len)
{
    const sprat_event *event = next_of_kind(node, SPRAT_EVENT_MESSAGE);
    const sprat_event *copy = sprat_event_copy(event);
    sprat_event_free(event);
    SAME(strcmp(copy->name, "a"), 0);
    CHECK(strncmp(copy->addr, "127.0.0.1:", 10) == 0);
    CHECK(copy->payload_len == len && memcmp(copy->payload, expected, len) == 0);
    CHECK(!copy->member && *copy->text == 0 && copy->id == 0 && !copy->join);
    sprat_event_free(copy);
}

static void messages(sprat_node *a, sprat_node *b)
{
    int data;
    uint64_t id = 0;
    SAME(sprat_node_send(a, "b", large, sizeof large, &data, &id), SPRAT_OK);
    CHECK(id);
    const sprat_event *event = next_of_kind(a, SPRAT_EVENT_DONE);
    CHECK(event->id == id && event->op_data == &data && event->status == SPRAT_OK);
    sprat_event_free(event);
    is_message(b, large, sizeof large);
    SAME(sprat_node_broadcast(a, "v\0001", 3, "key"), SPRAT_OK);
    is_message(b, "v\0001", 3);
    SAME(sprat_node_send_datagram(a, "b", "hi", 2), SPRAT_OK);
}

static void states(sprat_node *node, const char *from, const char *expected)
{
    for (;;) {
        const sprat_event *event = next_of_kind(node, SPRAT_EVENT_REMOTE_STATE);
        bool join = event->join;
        SAME(strcmp(event->name, from), 0);
        CHECK(event->payload_len == strlen(expected));
        CHECK(memcmp(event->payload, expected, event->payload_len) == 0);
        sprat_event_free(event);
        if (join)
            return;
    }
}

/* Waits until the change of the metadata of a node has been gossiped, in both ways. */
static void spread(sprat_node *node)
{
    int data;
    uint64_t id = 0;
    SAME(sprat_node_set_meta(node, "new", 3), SPRAT_OK);
    SAME(sprat_node_spread_async(node, &data, &id), SPRAT_OK);
    const sprat_event *event = next_of_kind(node, SPRAT_EVENT_DONE);
    CHECK(id && event->id == id && event->op_data == &data && event->status == SPRAT_OK);
    sprat_event_free(event);
    SAME(sprat_node_spread(node, -1), SPRAT_OK);
}

/* The acks of node b carry its payload; those that came before it was set carry none. */
static void ping_acks(sprat_node *a, sprat_node *b)
{
    SAME(sprat_node_set_ack_payload(b, "load 3", 6), SPRAT_OK);
    for (;;) {
        const sprat_event *event = next_of_kind(a, SPRAT_EVENT_PING_ACK);
        size_t len = event->payload_len;
        SAME(strcmp(event->name, "b"), 0);
        CHECK(event->rtt_us >= 0);
        CHECK(len == 0 || (len == 6 && memcmp(event->payload, "load 3", 6) == 0));
        sprat_event_free(event);
        if (len)
            return;
    }
}

int main(void)
{
    alarm(600);
    memset(large, 'x', sizeof large);
    sprat_node *a = memberlist_node("a"), *b = memberlist_node("b");
    SAME(sprat_node_set_local_state(a, "state of a", 10), SPRAT_OK);
    SAME(sprat_node_set_local_state(b, "state of b", 10), SPRAT_OK);
    join(b, a);
    states(b, "a", "state of a");
    states(a, "b", "state of b");
    messages(a, b);
    spread(b);
    ping_acks(a, b);
    sprat_node_free(a);
    sprat_node_free(b);
    puts("ok");
    return 0;
}
