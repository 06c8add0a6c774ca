/* cluster.c: checks, with two or three nodes, what the header promises about members, tags, events,
 * hints, health, keys and the log. */
#include "check.h"

/* Reads events until one of this kind about the member `name` arrives; NULL stands for any member.
 * The caller frees the event that is returned. */
static const sprat_event *wait_for(sprat_node *node, int kind, const char *name)
{
    const sprat_event *event;
    uint64_t seq = 0;
    while (sprat_node_next_event(node, 60000, &event) == 1) {
        CHECK(seq == 0 || event->seq == seq + 1);
        CHECK(event->name && event->text);
        seq = event->seq;
        if (event->kind == kind && (!name || (event->member && strcmp(event->member->name, name) == 0)))
            return event;
        sprat_event_free(event);
    }
    fprintf(stderr, "no event %s about %s: %s\n", sprat_event_kind_name(kind), name ? name : "any",
            sprat_last_error());
    _exit(1);
}

static void drain(sprat_node *node)
{
    const sprat_event *events[16];
    int count;
    while ((count = sprat_node_next_events(node, 0, events, 16)) > 0)
        for (int i = 0; i < count; i++)
            sprat_event_free(events[i]);
    SAME(count, 0);
}

static void members(sprat_node *a, sprat_node *b)
{
    sprat_members *list, *later;
    char addr[64], own[64];
    SAME(sprat_node_members(a, &list), SPRAT_OK);
    uint64_t version = sprat_node_members_version(a);
    SAME(sprat_members_count(list), 2);
    const sprat_member *self = sprat_members_self(list), *other = sprat_members_find(list, "b");
    CHECK(self && other && self == sprat_members_get(list, 0) && other == sprat_members_get(list, 1));
    CHECK(strcmp(self->name, "a") == 0 && self->state == SPRAT_MEMBER_ALIVE);
    CHECK(other->addr_len == 4 && other->addr[0] == 127 && other->port != 0);
    CHECK(strcmp(sprat_member_tag(other, "role"), "db") == 0);
    const char *key;
    CHECK(strcmp(sprat_member_tag_at(other, 0, &key), "db") == 0 && strcmp(key, "role") == 0);
    SAME(other->ntags, 1);
    SAME(sprat_member_addr(other, addr, sizeof addr), SPRAT_OK);
    SAME(sprat_node_addr(b, own, sizeof own), SPRAT_OK);
    CHECK(strcmp(addr, own) == 0);

    /* b changes a tag: a gets an event, a new version and a new list. The old list is unchanged. */
    drain(a);
    SAME(sprat_node_set_tag(b, "role", "cache"), SPRAT_OK);
    const sprat_event *event = wait_for(a, SPRAT_EVENT_MEMBER_UPDATE, "b");
    CHECK(strcmp(sprat_member_tag(event->member, "role"), "cache") == 0);
    CHECK(event->time_ns > 0);
    sprat_event_free(event);
    CHECK(sprat_node_members_version(a) != version);
    SAME(sprat_node_members(a, &later), SPRAT_OK);
    CHECK(strcmp(sprat_member_tag(sprat_members_find(later, "b"), "role"), "cache") == 0);
    CHECK(strcmp(sprat_member_tag(other, "role"), "db") == 0);
    CHECK(sprat_members_self(later) == self);   /* unchanged members are shared */
    sprat_members_free(list);
    sprat_members_free(later);
}

/* A node outside of the cluster lists its members, and no member learns of that node. */
static void looks(sprat_node *a)
{
    char addr[64];
    sprat_members *list;
    sprat_node *outside = node_called("outside");
    SAME(sprat_node_addr(a, addr, sizeof addr), SPRAT_OK);
    SAME(sprat_node_look(outside, addr, 0, 60000, &list), SPRAT_OK);
    SAME(sprat_members_count(list), 2);
    const sprat_member *other = sprat_members_find(list, "b");
    CHECK(other && other->state == SPRAT_MEMBER_ALIVE);
    CHECK(strcmp(sprat_member_tag(other, "role"), "cache") == 0);
    CHECK(!sprat_members_self(list));
    sprat_node_free(outside);                   /* the list may outlive the node */
    CHECK(strcmp(sprat_members_get(list, 0)->name, "a") == 0);
    sprat_members_free(list);
    SAME(sprat_node_members(a, &list), SPRAT_OK);
    SAME(sprat_members_count(list), 2);
    sprat_members_free(list);
}

static void hints_and_health(sprat_node *a)
{
    uint64_t id = 0;
    drain(a);
    SAME(sprat_node_hint(a, "b", NULL, &id), SPRAT_OK);
    CHECK(id != 0);
    const sprat_event *event = wait_for(a, SPRAT_EVENT_DONE, NULL);
    CHECK(event->id == id && event->status == SPRAT_OK);
    sprat_event_free(event);

    sprat_explanation *explanation;
    SAME(sprat_node_explain(a, "b", &explanation), SPRAT_OK);
    SAME(explanation->state, SPRAT_MEMBER_ALIVE);
    SAME(explanation->time_left_ms, -1);
    CHECK(explanation->probe_ago_ms >= 0 && explanation->since_ms >= 0);
    CHECK(explanation->probe_direct >= SPRAT_PROBE_NOT_ASKED);
    CHECK(strcmp(explanation->name, "b") == 0);
    CHECK(strstr(sprat_explanation_text(explanation), "b (127.0.0.1:"));
    sprat_explanation_free(explanation);

    sprat_health *health;
    SAME(sprat_node_health(a, &health), SPRAT_OK);
    CHECK(health->live == 2 && health->known == 2 && !health->isolated && *health->summary);
    sprat_health_free(health);

    sprat_stats *stats;
    SAME(sprat_node_stats(a, &stats), SPRAT_OK);
    CHECK(sprat_stats_count(stats) > 0);
    int64_t value;
    const char *help, *name = sprat_stats_get(stats, 0, &value, &help);
    CHECK(name && *name && help && *help);
    SAME(sprat_stats_value(stats, name, -7), value);
    sprat_stats_free(stats);
}

/* The descriptor is readable exactly while events are queued. */
static void descriptor(sprat_node *a, sprat_node *b)
{
    struct pollfd fd = { .fd = sprat_node_fd(a), .events = POLLIN };
    CHECK(fd.fd >= 0);
    for (int i = 0; i < 20; i++) {
        drain(a);
        SAME(poll(&fd, 1, 0), 0);
        SAME(sprat_node_set_tag(b, "round", i % 2 ? "1" : "2"), SPRAT_OK);
        SAME(poll(&fd, 1, 60000), 1);
        SAME(poll(&fd, 1, 0), 1);               /* still readable: level-triggered */
    }
}

static int dispatched;
static const sprat_event *kept;

static void keep(sprat_node *node, const sprat_event *event, void *user_data)
{
    CHECK(user_data == &dispatched);
    SAME(sprat_node_state(node), SPRAT_NODE_RUNNING);
    sprat_event_free(event);                    /* does nothing: the event is borrowed */
    dispatched++;
    if (!kept)
        kept = sprat_event_copy(event);
}

static void ending(sprat_node *a, sprat_node *b)
{
    drain(a);
    SAME(sprat_node_dispatch(a, 0, keep, &dispatched), 0);
    uint64_t id;
    SAME(sprat_node_leave_async(b, NULL, &id), SPRAT_OK);
    const sprat_event *event = wait_for(b, SPRAT_EVENT_DONE, NULL);
    CHECK(event->id == id && event->status == SPRAT_OK);
    sprat_event_free(event);
    SAME(sprat_node_state(b), SPRAT_NODE_LEFT);
    SAME(sprat_node_leave(b, 0), SPRAT_OK);     /* b has left already */
    CHECK(sprat_node_dispatch(a, 60000, keep, &dispatched) >= 1);

    join(b, a);                                 /* b becomes a member again */
    SAME(sprat_node_state(b), SPRAT_NODE_RUNNING);
    sprat_event_free(wait_for(a, SPRAT_EVENT_MEMBER_JOIN, "b"));
    sprat_node_free(b);                         /* no leave, so a sees a failure */
    sprat_event_free(wait_for(a, SPRAT_EVENT_MEMBER_SUSPECT, "b"));
    event = wait_for(a, SPRAT_EVENT_MEMBER_FAIL, "b");
    SAME(event->member->state, SPRAT_MEMBER_FAILED);
    SAME(sprat_node_remove_failed(a, "b", SPRAT_REMOVE_PRUNE), SPRAT_OK);
    SAME(sprat_node_leave(a, 60000), SPRAT_OK);
    sprat_node_free(a);
    CHECK(strcmp(event->member->name, "b") == 0);           /* events outlive the node */
    CHECK(kept && strcmp(kept->member->name, "b") == 0 && kept->member->state != 0);
    sprat_event_free(event);
    sprat_event_free(kept);
}

/* Checks that log events arrive up to the level that was set, and not beyond that level. */
static void logged(const char *level, int expected)
{
    sprat_config *config = settings("logged");
    SAME(sprat_config_set(config, "log_level", level), SPRAT_OK);
    sprat_node *node = started(config), *other = node_called("other");
    const sprat_event *event;
    int highest = 0;
    join(node, other);
    while (sprat_node_next_event(node, 300, &event) == 1) {
        if (event->kind == SPRAT_EVENT_LOG) {
            CHECK(event->level > SPRAT_LOG_OFF && *event->name && *event->text);
            highest = event->level > highest ? event->level : highest;
        }
        sprat_event_free(event);
    }
    SAME(highest, expected);
    sprat_node_free(node);
    sprat_node_free(other);
}

/* A node with another key cannot join. */
static void encrypted(void)
{
    sprat_config *config = settings("safe");
    SAME(sprat_config_add_key(config, "0123456789abcdef", 16), SPRAT_OK);
    sprat_config *other = sprat_config_copy(config);
    sprat_node *first = started(config);
    SAME(sprat_config_set(other, "name", "also"), SPRAT_OK);
    sprat_node *second = started(other);
    join(second, first);
    sprat_config *wrong = settings("wrong");
    SAME(sprat_config_add_key(wrong, "0123456789ABCDEF", 16), SPRAT_OK);
    sprat_node *third = started(wrong);
    char addr[64];
    SAME(sprat_node_addr(first, addr, sizeof addr), SPRAT_OK);
    const char *addrs[1] = { addr };
    SAME(sprat_node_join(third, addrs, 1, 0, 60000), SPRAT_ERR_CRYPTO);
    sprat_node_free(first);
    sprat_node_free(second);
    sprat_node_free(third);
}

int main(void)
{
    alarm(300);
    sprat_config *config = settings("b");
    SAME(sprat_config_set_tag(config, "role", "db"), SPRAT_OK);
    sprat_node *a = node_called("a"), *b = started(config);
    SAME(sprat_node_state(a), SPRAT_NODE_RUNNING);
    join(a, b);
    sprat_event_free(wait_for(a, SPRAT_EVENT_MEMBER_JOIN, "b"));
    members(a, b);
    looks(a);
    hints_and_health(a);
    descriptor(a, b);
    ending(a, b);
    encrypted();
    logged("off", SPRAT_LOG_OFF);
    logged("info", SPRAT_LOG_INFO);
    logged("debug", SPRAT_LOG_DEBUG);
    return 0;
}
