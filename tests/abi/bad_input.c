/* bad_input.c: calls every function with bad input. No call may crash, and each must return what
 * the header promises for it. Another test checks that this program calls every function of
 * the header. */
#include "check.h"
#include <stdint.h>

static const char *const NOT_UTF8 = "ab\xff";
static char buf[256];

static void ignore_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)event, (void)user_data;
}

static void ignore_log(int level, const char *target, const char *message, void *user_data)
{
    (void)level, (void)target, (void)message, (void)user_data;
}

static int refuse_thread(const char *name, void (*run)(void *), void *arg, void *user_data)
{
    (void)name, (void)run, (void)arg, (void)user_data;
    return EPERM;
}

static int freed;
static void count_free(void *user_data)
{
    (void)user_data;
    freed++;
}

static void library(void)
{
    CHECK(strcmp(sprat_version(), SPRAT_VERSION) == 0);
    SAME(sprat_version_number(), SPRAT_VERSION_NUMBER);
    const int odd[] = { 1, -21, -98, -100, 23, 99, INT32_MIN, INT32_MAX };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        CHECK(strcmp(sprat_status_name(odd[i]), "SPRAT_ERR_UNKNOWN") == 0);
        CHECK(strcmp(sprat_status_text(odd[i]), "unknown status") == 0);
    }
    CHECK(strcmp(sprat_status_name(SPRAT_ERR_TIMEOUT), "SPRAT_ERR_TIMEOUT") == 0);
    CHECK(strcmp(sprat_status_text(SPRAT_ERR_TIMEOUT), "the time is up") == 0);
    CHECK(strcmp(sprat_event_kind_name(SPRAT_EVENT_MEMBER_JOIN), "member-join") == 0);
    CHECK(strcmp(sprat_event_kind_name(0), "unknown") == 0);
    CHECK(strcmp(sprat_event_kind_name(INT32_MIN), "unknown") == 0);
    CHECK(strcmp(sprat_member_state_name(SPRAT_MEMBER_LEFT), "left") == 0);
    CHECK(strcmp(sprat_member_state_name(0), "unknown") == 0);
    SAME(sprat_last_status(), SPRAT_OK);
    SAME(sprat_last_errno(), 0);
    CHECK(strcmp(sprat_last_error(), "success") == 0);
}

static void setters(sprat_config *config)
{
    char key[32] = { 1, 2, 3 }, meta[513] = { 0 }, long_name[301] = { 0 };
    memset(long_name, 'x', 300);
    SAME(sprat_config_set(config, NULL, "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set(config, "name", NULL), SPRAT_ERR_NULL);
    SAME(sprat_config_set(config, NOT_UTF8, "x"), SPRAT_ERR_UTF8);
    SAME(sprat_config_set(config, "name", NOT_UTF8), SPRAT_ERR_UTF8);
    CHECK(strstr(sprat_last_error(), "sprat_config_set: value is not UTF-8 at byte 2"));
    SAME(sprat_config_set(config, "prob_interval_ms", "100"), SPRAT_ERR_NOT_FOUND);
    CHECK(strstr(sprat_last_error(), "probe_interval_ms"));
    SAME(sprat_config_set(config, "probe_interval_ms", "soon"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set(config, "probe_interval_ms", "-1"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set(config, "probe_interval_ms", "99999999999999999999"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set(config, "name", ""), SPRAT_ERR_INVALID);
    SAME(sprat_config_set(config, "name", long_name), SPRAT_ERR_INVALID);
    CHECK(strstr(sprat_last_error(), "1 to 255 bytes"));
    SAME(sprat_config_set(config, "encrypt", "not a key"), SPRAT_ERR_INVALID);

    SAME(sprat_config_get(config, NULL, buf, sizeof buf), SPRAT_ERR_NULL);
    SAME(sprat_config_get(config, "name", NULL, 9), SPRAT_ERR_NULL);
    SAME(sprat_config_get(config, NOT_UTF8, buf, sizeof buf), SPRAT_ERR_UTF8);
    SAME(sprat_config_get(config, "nam", buf, sizeof buf), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_config_get(config, "mode", buf, 0), SPRAT_ERR_BUFFER);
    SAME(sprat_config_get(config, "mode", buf, 3), SPRAT_ERR_BUFFER);
    CHECK(strcmp(buf, "se") == 0);
    SAME(sprat_config_get(config, "mode", buf, 5), SPRAT_OK);
    CHECK(strcmp(buf, "serf") == 0);

    SAME(sprat_config_load(config, NULL), SPRAT_ERR_NULL);
    SAME(sprat_config_load(config, NOT_UTF8), SPRAT_ERR_UTF8);
    SAME(sprat_config_load(config, "/nonexistent/file"), SPRAT_ERR_IO);
    SAME(sprat_last_errno(), ENOENT);

    SAME(sprat_config_set_tag(config, NULL, "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set_tag(config, "", "x"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_tag(config, NOT_UTF8, "x"), SPRAT_ERR_UTF8);
    SAME(sprat_config_set_tag(config, "x", NOT_UTF8), SPRAT_ERR_UTF8);
    memset(meta, 'x', 512);
    SAME(sprat_config_set_tag(config, "x", meta), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_config_set_tag(config, "x", NULL), SPRAT_OK);

    SAME(sprat_config_set_meta(config, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_config_set_meta(config, meta, 513), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_config_set_meta(config, NULL, 0), SPRAT_OK);

    SAME(sprat_config_add_key(config, NULL, 16), SPRAT_ERR_NULL);
    SAME(sprat_config_add_key(config, key, 0), SPRAT_ERR_INVALID);
    SAME(sprat_config_add_key(config, key, 15), SPRAT_ERR_INVALID);
    SAME(sprat_config_add_key(config, key, SIZE_MAX), SPRAT_ERR_INVALID);
    SAME(sprat_config_get(config, "encrypt", buf, sizeof buf), SPRAT_OK);
    CHECK(*buf == '\0');                        /* no key was stored */

    SAME(sprat_config_set_filter_name(config, ""), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_filter_name(config, "a,b"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_filter_name(config, " a"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_filter_name(config, "a\t"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_filter_name(config, NOT_UTF8), SPRAT_ERR_UTF8);
    SAME(sprat_config_set_filter_name(config, NULL), SPRAT_OK);
    SAME(sprat_config_set_filter_tag(config, NULL, "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set_filter_tag(config, "x", NULL), SPRAT_ERR_NULL);
    SAME(sprat_config_set_filter_tag(config, "", "x"), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_filter_tag(config, "x", NOT_UTF8), SPRAT_ERR_UTF8);

    SAME(sprat_config_set_log_cb(config, 6, ignore_log, NULL, count_free), SPRAT_ERR_INVALID);
    SAME(sprat_config_set_log_cb(config, -1, ignore_log, NULL, count_free), SPRAT_ERR_INVALID);
    SAME(freed, 0);
}

static void list_of_settings(void)
{
    const sprat_setting *name = sprat_setting_find("name");
    size_t count = sprat_setting_count();
    CHECK(count > 40);
    CHECK(sprat_setting_at(0) == name);
    CHECK(sprat_setting_at(count - 1) == sprat_setting_find("filter.tag.role"));
    CHECK(!sprat_setting_at(count) && !sprat_setting_at(SIZE_MAX));
    CHECK(!sprat_setting_find(NULL) && !sprat_setting_find("nam") && !sprat_setting_find(NOT_UTF8));
    for (size_t i = 0; i < count; i++) {
        const sprat_setting *setting = sprat_setting_at(i);
        CHECK(*setting->name && *setting->help && *setting->type_name && *setting->allowed);
        CHECK(setting->unit && setting->min <= setting->max);
        CHECK(sprat_setting_default(setting, "local"));
    }
    CHECK(*sprat_setting_default(name, NULL) == '\0');
    CHECK(!sprat_setting_default(NULL, "lan"));
    sprat_setting copy = *name;
    CHECK(!sprat_setting_default(&copy, "lan"));
    CHECK(!sprat_setting_default(name, "man") && !sprat_setting_default(name, NOT_UTF8));
}

/* The library of this test is built without mDNS. */
static void discovery(void)
{
    sprat_node *node = NULL;
    sprat_config *config = sprat_config_new();
    SAME(sprat_config_set(config, "discover", "a.b"), SPRAT_ERR_INVALID);
    CHECK(strstr(sprat_last_error(), "ASCII letters"));
    sprat_config_free(config);
    config = sprat_config_new();
    SAME(sprat_config_set(config, "bind", "127.0.0.1:0"), SPRAT_OK);
    SAME(sprat_config_set(config, "discover", "prod"), SPRAT_OK);
    SAME(sprat_node_start(config, &node), SPRAT_ERR_CONFIG);
    CHECK(strstr(sprat_last_error(), "build the library with the feature mdns"));
    sprat_config_free(config);
}

static void configs(void)
{
    sprat_node *node = (sprat_node *)&node;
    SAME(sprat_config_set(NULL, "name", "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_get(NULL, "name", buf, sizeof buf), SPRAT_ERR_NULL);
    SAME(sprat_config_load(NULL, "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set_tag(NULL, "x", "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set_meta(NULL, "x", 1), SPRAT_ERR_NULL);
    SAME(sprat_config_add_key(NULL, "0123456789abcdef", 16), SPRAT_ERR_NULL);
    SAME(sprat_config_set_filter_name(NULL, "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set_filter_tag(NULL, "x", "x"), SPRAT_ERR_NULL);
    SAME(sprat_config_set_event_cb(NULL, ignore_event, NULL, count_free), SPRAT_ERR_NULL);
    SAME(sprat_config_set_log_cb(NULL, 1, ignore_log, NULL, count_free), SPRAT_ERR_NULL);
    SAME(sprat_config_set_spawn_cb(NULL, refuse_thread, NULL), SPRAT_ERR_NULL);
    SAME(sprat_config_check(NULL), SPRAT_ERR_NULL);
    CHECK(!sprat_config_copy(NULL));
    sprat_config_free(NULL);
    SAME(sprat_node_start(NULL, &node), SPRAT_ERR_NULL);
    CHECK(!node);                               /* set to NULL, although the call failed */

    sprat_config *config = sprat_config_new();
    SAME(sprat_node_start(config, NULL), SPRAT_ERR_NULL);
    SAME(sprat_config_check(config), SPRAT_OK);
    setters(config);

    /* Settings keep the error of the first setter that failed, and so do copies of the settings. */
    sprat_config *copy = sprat_config_copy(config);
    SAME(sprat_config_check(config), SPRAT_ERR_CONFIG);
    SAME(sprat_node_start(config, &node), SPRAT_ERR_CONFIG);
    CHECK(strstr(sprat_last_error(), "sprat_config_set: key is NULL"));
    SAME(sprat_node_start(copy, &node), SPRAT_ERR_CONFIG);
    sprat_config_free(copy);

    /* free_user_data is called when a callback is replaced, and when settings that no node has used
     * are freed, but not if no callback was set. */
    SAME(sprat_config_set_event_cb(config, ignore_event, NULL, count_free), SPRAT_OK);
    SAME(sprat_config_set_event_cb(config, NULL, NULL, NULL), SPRAT_OK);
    SAME(freed, 1);
    SAME(sprat_config_set_event_cb(config, NULL, NULL, count_free), SPRAT_OK);
    SAME(sprat_config_set_log_cb(config, SPRAT_LOG_WARN, NULL, NULL, count_free), SPRAT_OK);
    SAME(sprat_config_set_log_cb(config, SPRAT_LOG_WARN, ignore_log, NULL, count_free), SPRAT_OK);
    sprat_config_free(config);
    SAME(freed, 2);

    /* If the program refuses to start a thread, there is no node, and sprat_last_errno() is the
     * value that the callback returned. */
    config = settings("refused");
    SAME(sprat_config_set_spawn_cb(config, refuse_thread, NULL), SPRAT_OK);
    SAME(sprat_node_start(config, &node), SPRAT_ERR_IO);
    SAME(sprat_last_errno(), EPERM);
    CHECK(!node);
    sprat_config_free(config);

    SAME(sprat_threads_prepare(100000), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_threads_prepare(0), SPRAT_OK);
    SAME(sprat_threads_idle(), 0);
}

/* Wrong arguments of user events and queries. */
static void bad_messages(sprat_node *node)
{
    static const char large[10000];
    const char *nodes[1] = { NULL };
    sprat_tag tags[1] = { { "role", "(" } };
    uint64_t id = 7;
    sprat_answers *answers = (sprat_answers *)&id;
    SAME(sprat_node_send_event(node, NULL, "", 0, 0), SPRAT_ERR_NULL);
    SAME(sprat_node_send_event(node, NOT_UTF8, "", 0, 0), SPRAT_ERR_UTF8);
    SAME(sprat_node_send_event(node, "x", NULL, 1, 0), SPRAT_ERR_NULL);
    SAME(sprat_node_send_event(node, "x", large, SIZE_MAX, 0), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_send_event(node, "x", large, 500, 0), SPRAT_ERR_TOO_LARGE);
    CHECK(strstr(sprat_last_error(), "at most 512"));
    SAME(sprat_node_send_event(node, "x", "", 0, 2), SPRAT_ERR_INVALID);

    sprat_query_options options = SPRAT_QUERY_OPTIONS_INIT;
    SAME(sprat_node_query(node, NULL, "", 0, NULL, NULL, &id), SPRAT_ERR_NULL);
    SAME(id, 0);
    SAME(sprat_node_query(node, NOT_UTF8, "", 0, NULL, NULL, NULL), SPRAT_ERR_UTF8);
    SAME(sprat_node_query(node, "x", NULL, 1, NULL, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_query(node, "x", large, SIZE_MAX, NULL, NULL, NULL), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_query(node, "x", large, 1024, NULL, NULL, NULL), SPRAT_ERR_TOO_LARGE);
    CHECK(strstr(sprat_last_error(), "at most 1024"));
    SAME(sprat_node_query(node, "_serf_x", "", 0, NULL, NULL, NULL), SPRAT_ERR_INVALID);
    SAME(sprat_node_query(node, "_serf_ping", "x", 1, NULL, NULL, NULL), SPRAT_ERR_INVALID);
    SAME(sprat_node_query_wait(node, "x", "", 0, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_query_wait(node, "_serf_x", "", 0, NULL, &answers), SPRAT_ERR_INVALID);
    CHECK(!answers);

    options.size = 0;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_INVALID);
    options.size = SIZE_MAX;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_INVALID);
    options.size = sizeof options;
    options.timeout_ms = -1;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_INVALID);
    CHECK(strstr(sprat_last_error(), "options.timeout_ms is -1"));
    options.timeout_ms = 0, options.relay_factor = 256;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_INVALID);
    options.relay_factor = 0, options.nnodes = 1;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_NULL);
    options.nodes = nodes;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_NULL);
    nodes[0] = NOT_UTF8;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_UTF8);
    options.nnodes = 0, options.tags = tags, options.ntags = 1;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_INVALID);
    CHECK(strstr(sprat_last_error(), "regular expression"));
    tags[0].value = NULL;
    SAME(sprat_node_query(node, "x", "", 0, &options, NULL, NULL), SPRAT_ERR_NULL);

    struct { sprat_query_options known; uint64_t later; } longer = {
        SPRAT_QUERY_OPTIONS_INIT, 0
    };
    longer.known.size = sizeof longer, longer.known.timeout_ms = 1;
    SAME(sprat_node_query(node, "x", "", 0, &longer.known, NULL, NULL), SPRAT_OK);
    longer.later = 1;
    SAME(sprat_node_query(node, "x", "", 0, &longer.known, NULL, NULL), SPRAT_ERR_UNSUPPORTED);

    SAME(sprat_node_cancel_query(node, 12345), SPRAT_OK);
    SAME(sprat_node_respond(node, 0, "", 0), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_respond(node, UINT64_MAX, "", 0), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_respond(node, 1, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_respond(node, 1, large, SIZE_MAX), SPRAT_ERR_TOO_LARGE);
}

/* Wrong arguments of the functions about keys, and a node without keys. */
static void bad_keys(sprat_node *node)
{
    static const char key[65];
    uint64_t id = 7;
    sprat_key_report *report = (sprat_key_report *)&id;
    static const struct { int action; const void *key; size_t len; int timeout_ms, status; } bad[] = {
        { 0, key, 16, 0, SPRAT_ERR_INVALID },
        { SPRAT_KEY_LIST + 1, key, 16, 0, SPRAT_ERR_INVALID },
        { INT32_MIN, key, 16, 0, SPRAT_ERR_INVALID },
        { SPRAT_KEY_INSTALL, NULL, 0, 0, SPRAT_ERR_INVALID },
        { SPRAT_KEY_INSTALL, key, 0, 0, SPRAT_ERR_INVALID },
        { SPRAT_KEY_USE, key, 17, 0, SPRAT_ERR_INVALID },
        { SPRAT_KEY_REMOVE, NULL, 16, 0, SPRAT_ERR_NULL },
        { SPRAT_KEY_REMOVE, key, 65, 0, SPRAT_ERR_TOO_LARGE },
        { SPRAT_KEY_REMOVE, key, SIZE_MAX, 0, SPRAT_ERR_TOO_LARGE },
        { SPRAT_KEY_LIST, key, 16, 0, SPRAT_ERR_INVALID },
        { SPRAT_KEY_LIST, NULL, 0, -1, SPRAT_ERR_INVALID },
        { SPRAT_KEY_LIST, NULL, 0, INT32_MIN, SPRAT_ERR_INVALID },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int action = bad[i].action, timeout_ms = bad[i].timeout_ms;
        id = 7, report = (sprat_key_report *)&id;
        SAME(sprat_node_manage_keys_wait(node, action, bad[i].key, bad[i].len, timeout_ms, &report),
             bad[i].status);
        CHECK(!report);
        SAME(sprat_node_manage_keys(node, action, bad[i].key, bad[i].len, timeout_ms, NULL, &id),
             bad[i].status);
        SAME(id, 0);
    }
    report = (sprat_key_report *)&id;
    SAME(sprat_node_manage_keys_wait(node, SPRAT_KEY_LIST, NULL, 0, 0, &report), SPRAT_ERR_STATE);
    CHECK(!report && strstr(sprat_last_error(), "this node does not encrypt"));
    SAME(sprat_node_manage_keys_wait(node, SPRAT_KEY_INSTALL, key, 16, 0, NULL), SPRAT_ERR_STATE);
}

/* Wrong arguments of messages and states of programs built on memberlist. */
static void bad_memberlist(void)
{
    static const char large[10000];
    uint64_t id = 7;
    sprat_config *config = settings("memberlist");
    SAME(sprat_config_set(config, "mode", "memberlist"), SPRAT_OK);
    SAME(sprat_config_set(config, "message_bytes", "5000"), SPRAT_OK);
    sprat_node *node = started(config);
    SAME(sprat_node_send(node, NULL, "", 0, NULL, &id), SPRAT_ERR_NULL);
    SAME(id, 0);
    SAME(sprat_node_send(node, NOT_UTF8, "", 0, NULL, NULL), SPRAT_ERR_UTF8);
    SAME(sprat_node_send(node, "memberlist", NULL, 1, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_send(node, "memberlist", large, SIZE_MAX, NULL, NULL), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_send(node, "memberlist", large, 5001, NULL, NULL), SPRAT_ERR_TOO_LARGE);
    CHECK(strstr(sprat_last_error(), "5001") && strstr(sprat_last_error(), "is 5000 bytes"));
    SAME(sprat_node_send(node, "nobody", "", 0, NULL, NULL), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_send_datagram(node, NULL, "", 0), SPRAT_ERR_NULL);
    SAME(sprat_node_send_datagram(node, NOT_UTF8, "", 0), SPRAT_ERR_UTF8);
    SAME(sprat_node_send_datagram(node, "memberlist", NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_send_datagram(node, "memberlist", large, SIZE_MAX), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_send_datagram(node, "nobody", "", 0), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_broadcast(node, NULL, 1, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_broadcast(node, "", 0, NOT_UTF8), SPRAT_ERR_UTF8);
    SAME(sprat_node_broadcast(node, large, SIZE_MAX, NULL), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_broadcast(node, large, 2000, NULL), SPRAT_ERR_TOO_LARGE);
    CHECK(strstr(sprat_last_error(), "2000") && strstr(sprat_last_error(), "gossip packet"));
    SAME(sprat_node_set_local_state(node, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_set_local_state(node, large, SIZE_MAX), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_set_ack_payload(node, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_set_ack_payload(node, large, 513), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_set_ack_payload(node, large, 512), SPRAT_OK);
    SAME(sprat_node_leave(node, -1), SPRAT_OK);
    SAME(sprat_node_spread(node, -1), SPRAT_ERR_STATE);
    SAME(sprat_node_send_datagram(node, "memberlist", "", 0), SPRAT_ERR_STATE);
    SAME(sprat_node_broadcast(node, "", 0, NULL), SPRAT_ERR_STATE);
    sprat_node_free(node);
}

/* Calls every function that takes a node, and passes a handle that belongs to no node. */
static void no_node(sprat_node *node, int expected)
{
    sprat_coordinate coordinate;
    int64_t rtt;
    const char *addrs[1] = { "127.0.0.1" };
    const sprat_tag tags[1] = { { "x", "y" } };
    uint64_t id = 7;
    const sprat_event *event = (const sprat_event *)&id, *events[1] = { event };
    sprat_members *members = (sprat_members *)&id;
    sprat_stats *stats = (sprat_stats *)&id;
    sprat_explanation *explanation = (sprat_explanation *)&id;
    sprat_health *health = (sprat_health *)&id;
    sprat_answers *answers = (sprat_answers *)&id;
    sprat_key_report *report = (sprat_key_report *)&id;
    SAME(sprat_node_join(node, addrs, 1, 0, 0), expected);
    SAME(sprat_node_join_async(node, addrs, 1, 0, NULL, &id), expected);
    SAME(id, 0);
    SAME(sprat_node_leave(node, 0), expected);
    SAME(sprat_node_leave_async(node, NULL, NULL), expected);
    SAME(sprat_node_shutdown(node), expected);
    SAME(sprat_node_state(node), expected);
    SAME(sprat_node_addr(node, buf, sizeof buf), expected);
    SAME(sprat_node_remove_failed(node, "x", 0), expected);
    SAME(sprat_node_members(node, &members), expected);
    CHECK(!members);
    members = (sprat_members *)&id;
    SAME(sprat_node_look(node, "127.0.0.1", 0, 0, &members), expected);
    CHECK(!members);
    SAME(sprat_node_members_version(node), 0);
    SAME(sprat_node_set_tag(node, "x", "y"), expected);
    SAME(sprat_node_set_tags(node, tags, 1), expected);
    SAME(sprat_node_set_meta(node, "x", 1), expected);
    SAME(sprat_node_spread(node, 0), expected);
    SAME(sprat_node_spread_async(node, NULL, &id), expected);
    SAME(id, 0);
    SAME(sprat_node_send_event(node, "x", NULL, 0, 0), expected);
    SAME(sprat_node_query(node, "x", NULL, 0, NULL, NULL, &id), expected);
    SAME(id, 0);
    SAME(sprat_node_send(node, "x", NULL, 0, NULL, &id), expected);
    SAME(id, 0);
    SAME(sprat_node_send_datagram(node, "x", NULL, 0), expected);
    SAME(sprat_node_broadcast(node, NULL, 0, NULL), expected);
    SAME(sprat_node_set_local_state(node, NULL, 0), expected);
    SAME(sprat_node_set_ack_payload(node, NULL, 0), expected);
    SAME(sprat_node_query_wait(node, "x", NULL, 0, NULL, &answers), expected);
    CHECK(!answers);
    SAME(sprat_node_cancel_query(node, 1), expected);
    id = 7;
    SAME(sprat_node_manage_keys(node, SPRAT_KEY_LIST, NULL, 0, 0, NULL, &id), expected);
    SAME(id, 0);
    SAME(sprat_node_manage_keys_wait(node, SPRAT_KEY_LIST, NULL, 0, 0, &report), expected);
    CHECK(!report);
    SAME(sprat_node_respond(node, 1, NULL, 0), expected);
    SAME(sprat_node_fd(node), expected);
    SAME(sprat_node_next_event(node, 0, &event), expected);
    CHECK(!event);
    SAME(sprat_node_next_events(node, 0, events, 1), expected);
    CHECK(!events[0]);
    SAME(sprat_node_dispatch(node, 0, ignore_event, NULL), expected);
    SAME(sprat_node_hint(node, "x", NULL, &id), expected);
    SAME(sprat_node_explain(node, "x", &explanation), expected);
    CHECK(!explanation);
    SAME(sprat_node_coordinate(node, NULL, &coordinate), expected);
    SAME(sprat_node_rtt(node, NULL, "x", &rtt), expected);
    SAME(rtt, -1);
    SAME(sprat_node_health(node, &health), expected);
    CHECK(!health);
    SAME(sprat_node_stats(node, &stats), expected);
    CHECK(!stats);
    SAME(sprat_last_status(), expected);
    sprat_node_free(node);
}

static void arguments(sprat_node *node)
{
    sprat_coordinate coordinate;
    int64_t rtt;
    const char *addrs[1] = { NULL };
    static const char *many[5000];
    char meta[513] = { 0 };
    const sprat_event *events[1];
    sprat_explanation *explanation;
    SAME(sprat_node_join(node, NULL, 1, 0, 0), SPRAT_ERR_NULL);
    SAME(sprat_node_join(node, addrs, 1, 0, 0), SPRAT_ERR_NULL);
    SAME(sprat_node_join(node, NULL, 0, 0, 0), SPRAT_ERR_INVALID);
    SAME(sprat_node_join(node, many, 5000, 0, 0), SPRAT_ERR_TOO_LARGE);
    addrs[0] = NOT_UTF8;
    SAME(sprat_node_join(node, addrs, 1, 0, 0), SPRAT_ERR_UTF8);
    SAME(sprat_node_join_async(node, addrs, 1, 0, NULL, NULL), SPRAT_ERR_UTF8);
    SAME(sprat_node_join_async(node, NULL, 1, 0, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_join_async(node, NULL, 0, 0, NULL, NULL), SPRAT_ERR_INVALID);
    addrs[0] = "127.0.0.1:1";
    SAME(sprat_node_join(node, addrs, 1, 0, -2), SPRAT_ERR_INVALID);
    SAME(sprat_node_join(node, addrs, 1, 1, 0), SPRAT_ERR_INVALID);
    SAME(sprat_node_join_async(node, addrs, 1, 1, NULL, NULL), SPRAT_ERR_INVALID);
    SAME(sprat_node_join(node, addrs, 1, 0, 60000), SPRAT_ERR_UNREACHABLE);
    addrs[0] = "127.0.0.1:port";
    CHECK(sprat_node_join(node, addrs, 1, 0, 60000) < 0);
    SAME(sprat_node_leave(node, -2), SPRAT_ERR_INVALID);

    SAME(sprat_node_addr(node, NULL, 9), SPRAT_ERR_NULL);
    SAME(sprat_node_addr(node, buf, 0), SPRAT_ERR_BUFFER);
    SAME(sprat_node_addr(node, buf, 4), SPRAT_ERR_BUFFER);
    CHECK(strcmp(buf, "127") == 0);
    SAME(sprat_node_remove_failed(node, NULL, 0), SPRAT_ERR_NULL);
    SAME(sprat_node_remove_failed(node, NOT_UTF8, 0), SPRAT_ERR_UTF8);
    SAME(sprat_node_remove_failed(node, "nobody", 0), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_remove_failed(node, "nobody", 2), SPRAT_ERR_INVALID);
    SAME(sprat_node_remove_failed(node, "bad", SPRAT_REMOVE_PRUNE), SPRAT_ERR_STATE);

    SAME(sprat_node_set_tag(node, NULL, "x"), SPRAT_ERR_NULL);
    SAME(sprat_node_set_tag(node, "", "x"), SPRAT_ERR_INVALID);
    SAME(sprat_node_set_tag(node, "x", NOT_UTF8), SPRAT_ERR_UTF8);
    memset(meta, 'x', 512);
    SAME(sprat_node_set_tag(node, "x", meta), SPRAT_ERR_TOO_LARGE);
    sprat_tag tags[2] = { { "a", "1" }, { "a", "2" } };
    SAME(sprat_node_set_tags(node, tags, 2), SPRAT_ERR_INVALID);
    tags[1].key = NULL;
    SAME(sprat_node_set_tags(node, tags, 2), SPRAT_ERR_NULL);
    tags[1].key = "b", tags[1].value = NULL;
    SAME(sprat_node_set_tags(node, tags, 2), SPRAT_ERR_NULL);
    tags[1].value = meta;
    SAME(sprat_node_set_tags(node, tags, 2), SPRAT_ERR_TOO_LARGE);
    tags[1].value = NOT_UTF8;
    SAME(sprat_node_set_tags(node, tags, 2), SPRAT_ERR_UTF8);
    SAME(sprat_node_set_tags(node, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_set_tags(node, tags, SIZE_MAX), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_set_tags(node, NULL, 0), SPRAT_OK);
    SAME(sprat_node_set_meta(node, meta, 513), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_set_meta(node, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_set_meta(node, "x", 1), SPRAT_ERR_STATE);
    SAME(sprat_node_spread(node, -2), SPRAT_ERR_INVALID);
    bad_messages(node);
    bad_keys(node);
    bad_memberlist();
    SAME(sprat_node_broadcast(node, "", 0, NULL), SPRAT_ERR_STATE);     /* needs mode memberlist */
    SAME(sprat_node_set_local_state(node, "", 0), SPRAT_ERR_STATE);
    SAME(sprat_node_set_ack_payload(node, "", 0), SPRAT_ERR_STATE);
    CHECK(strstr(sprat_last_error(), "acks carry the network coordinate"));

    SAME(sprat_node_next_event(node, 0, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_next_event(node, -2, events), SPRAT_ERR_INVALID);
    SAME(sprat_node_next_events(node, 0, NULL, 1), SPRAT_ERR_NULL);
    SAME(sprat_node_next_events(node, 0, events, 0), SPRAT_ERR_INVALID);
    SAME(sprat_node_next_events(node, 0, events, SIZE_MAX), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_next_events(node, INT32_MIN, events, 1), SPRAT_ERR_INVALID);
    SAME(sprat_node_dispatch(node, 0, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_dispatch(node, -2, ignore_event, NULL), SPRAT_ERR_INVALID);

    SAME(sprat_node_hint(node, NULL, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_hint(node, NOT_UTF8, NULL, NULL), SPRAT_ERR_UTF8);
    SAME(sprat_node_hint(node, "nobody", NULL, NULL), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_explain(node, NULL, &explanation), SPRAT_ERR_NULL);
    SAME(sprat_node_explain(node, "bad", NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_explain(node, NOT_UTF8, &explanation), SPRAT_ERR_UTF8);
    SAME(sprat_node_explain(node, "nobody", &explanation), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_coordinate(node, "bad", NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_coordinate(node, NOT_UTF8, &coordinate), SPRAT_ERR_UTF8);
    SAME(sprat_node_coordinate(node, "nobody", &coordinate), SPRAT_ERR_NOT_FOUND);
    SAME(sprat_node_rtt(node, NULL, NULL, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_rtt(node, NOT_UTF8, NULL, &rtt), SPRAT_ERR_UTF8);
    SAME(sprat_node_rtt(node, NULL, NOT_UTF8, &rtt), SPRAT_ERR_UTF8);
    SAME(sprat_node_rtt(node, "nobody", NULL, &rtt), SPRAT_ERR_NOT_FOUND);
    SAME(rtt, -1);
    SAME(sprat_node_health(node, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_stats(node, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_members(node, NULL), SPRAT_ERR_NULL);

    sprat_members *found = (sprat_members *)buf;
    SAME(sprat_node_look(node, "127.0.0.1:1", 0, 0, NULL), SPRAT_ERR_NULL);
    SAME(sprat_node_look(node, NULL, 0, 0, &found), SPRAT_ERR_NULL);
    CHECK(!found);
    SAME(sprat_node_look(node, NOT_UTF8, 0, 0, &found), SPRAT_ERR_UTF8);
    SAME(sprat_node_look(node, "127.0.0.1:1", 1, 0, &found), SPRAT_ERR_INVALID);
    SAME(sprat_node_look(node, "127.0.0.1:1", 0, -2, &found), SPRAT_ERR_INVALID);
    SAME(sprat_node_look(node, "", 0, 0, &found), SPRAT_ERR_ADDRESS);
    SAME(sprat_node_look(node, "127.0.0.1:port", 0, 0, &found), SPRAT_ERR_ADDRESS);
    SAME(sprat_node_look(node, "127.0.0.1:1", 0, 60000, &found), SPRAT_ERR_UNREACHABLE);
    CHECK(!found);
}

/* A refused call changes nothing, not even in part. */
static void nothing_changed(sprat_node *node)
{
    char big[512] = { 0 };
    sprat_tag tags[2] = { { "new", "1" }, { "big", big } };
    sprat_members *members;
    memset(big, 'x', 511);
    SAME(sprat_node_set_tag(node, "old", "kept"), SPRAT_OK);
    uint64_t version = sprat_node_members_version(node);
    SAME(sprat_node_set_tag(node, "big", big), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_set_tags(node, tags, 2), SPRAT_ERR_TOO_LARGE);
    SAME(sprat_node_members_version(node), version);
    SAME(sprat_node_members(node, &members), SPRAT_OK);
    const sprat_member *self = sprat_members_self(members);
    SAME(self->ntags, 1);
    CHECK(strcmp(sprat_member_tag(self, "old"), "kept") == 0);
    sprat_members_free(members);
}

static void objects(sprat_node *node)
{
    sprat_members *members;
    sprat_stats *stats;
    const char *text = "x";
    int64_t value = 7;
    SAME(sprat_members_count(NULL), 0);
    CHECK(!sprat_members_get(NULL, 0));
    CHECK(!sprat_members_find(NULL, "x"));
    CHECK(!sprat_members_self(NULL));
    sprat_members_free(NULL);
    SAME(sprat_node_members(node, &members), SPRAT_OK);
    CHECK(!sprat_members_get(members, 1));
    CHECK(!sprat_members_get(members, SIZE_MAX));
    CHECK(!sprat_members_find(members, NULL));
    CHECK(!sprat_members_find(members, NOT_UTF8));
    const sprat_member *self = sprat_members_self(members);
    CHECK(self == sprat_members_find(members, "bad"));
    CHECK(!sprat_member_tag(NULL, "x"));
    CHECK(!sprat_member_tag(self, NULL));
    CHECK(!sprat_member_tag(self, NOT_UTF8));
    CHECK(!sprat_member_tag_at(NULL, 0, &text) && !text);
    CHECK(!sprat_member_tag_at(self, SIZE_MAX, NULL));
    SAME(sprat_member_addr(NULL, buf, sizeof buf), SPRAT_ERR_NULL);
    SAME(sprat_member_addr(self, NULL, 9), SPRAT_ERR_NULL);
    SAME(sprat_member_addr(self, buf, 1), SPRAT_ERR_BUFFER);
    CHECK(*buf == '\0');
    sprat_members_free(members);

    SAME(sprat_stats_count(NULL), 0);
    text = "x";
    CHECK(!sprat_stats_get(NULL, 0, &value, &text) && !text && value == 0);
    SAME(sprat_stats_value(NULL, "x", -5), -5);
    sprat_stats_free(NULL);
    SAME(sprat_node_stats(node, &stats), SPRAT_OK);
    CHECK(!sprat_stats_get(stats, sprat_stats_count(stats), NULL, NULL));
    SAME(sprat_stats_value(stats, NULL, -5), -5);
    SAME(sprat_stats_value(stats, NOT_UTF8, -5), -5);
    SAME(sprat_stats_value(stats, "no such counter", -5), -5);
    sprat_stats_free(stats);

    CHECK(!sprat_event_copy(NULL));
    sprat_event_free(NULL);
    CHECK(strcmp(sprat_explanation_text(NULL), "") == 0);
    sprat_explanation_free(NULL);
    SAME(sprat_answers_count(NULL), 0);
    SAME(sprat_answers_acks(NULL), 0);
    CHECK(!sprat_answers_missing(NULL, 0));
    CHECK(strcmp(sprat_answers_problem(NULL), "") == 0);
    CHECK(!sprat_answers_get(NULL, 0, NULL, NULL));
    sprat_answers_free(NULL);
    SAME(sprat_key_report_asked(NULL), 0);
    CHECK(!sprat_key_report_answer(NULL, 0, NULL, NULL));
    CHECK(!sprat_key_report_missing(NULL, 0));
    CHECK(!sprat_key_report_key(NULL, 0, NULL, NULL, NULL));
    sprat_key_report_free(NULL);
    sprat_health_free(NULL);
}

/* The events of a node with an event callback cannot be read in any other way. */
static void callback_node(void)
{
    const sprat_event *event;
    sprat_config *config = settings("callback");
    sprat_node *node, *second;
    freed = 0;
    SAME(sprat_config_set_event_cb(config, ignore_event, NULL, count_free), SPRAT_OK);
    SAME(sprat_node_start(config, &node), SPRAT_OK);
    SAME(sprat_node_start(config, &second), SPRAT_ERR_STATE);       /* `node` owns the callback */
    sprat_config_free(config);
    SAME(sprat_node_fd(node), SPRAT_ERR_STATE);
    SAME(sprat_node_next_event(node, 0, &event), SPRAT_ERR_STATE);
    SAME(sprat_node_next_events(node, 0, &event, 1), SPRAT_ERR_STATE);
    SAME(sprat_node_dispatch(node, 0, ignore_event, NULL), SPRAT_ERR_STATE);
    SAME(freed, 0);
    sprat_node_free(node);
    SAME(freed, 1);
}

static void closed(sprat_node *node)
{
    sprat_coordinate coordinate;
    int64_t rtt;
    const char *addrs[1] = { "127.0.0.1" };
    const sprat_event *event;
    sprat_members *members;
    sprat_stats *stats;
    sprat_explanation *explanation;
    sprat_health *health;
    SAME(sprat_node_shutdown(node), SPRAT_OK);
    SAME(sprat_node_shutdown(node), SPRAT_OK);
    SAME(sprat_node_state(node), SPRAT_NODE_SHUTDOWN);
    SAME(sprat_node_join(node, addrs, 1, 0, -1), SPRAT_ERR_CLOSED);
    SAME(sprat_node_join_async(node, addrs, 1, 0, NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_look(node, addrs[0], 0, -1, &members), SPRAT_ERR_CLOSED);
    SAME(sprat_node_leave(node, -1), SPRAT_ERR_CLOSED);
    SAME(sprat_node_leave_async(node, NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_set_tag(node, "x", "y"), SPRAT_ERR_CLOSED);
    SAME(sprat_node_set_tags(node, NULL, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_set_meta(node, NULL, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_spread(node, -1), SPRAT_ERR_CLOSED);
    SAME(sprat_node_spread_async(node, NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_send_event(node, "x", NULL, 0, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_query(node, "x", NULL, 0, NULL, NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_send(node, "x", NULL, 0, NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_send_datagram(node, "x", NULL, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_broadcast(node, NULL, 0, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_set_local_state(node, NULL, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_set_ack_payload(node, NULL, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_respond(node, 1, NULL, 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_cancel_query(node, 1), SPRAT_ERR_CLOSED);
    SAME(sprat_node_manage_keys(node, SPRAT_KEY_LIST, NULL, 0, 0, NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_manage_keys_wait(node, SPRAT_KEY_LIST, NULL, 0, 0, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_explain(node, "bad", &explanation), SPRAT_ERR_CLOSED);
    CHECK(!explanation);
    SAME(sprat_node_coordinate(node, NULL, &coordinate), SPRAT_ERR_CLOSED);
    SAME(sprat_node_rtt(node, NULL, NULL, &rtt), SPRAT_ERR_CLOSED);
    SAME(sprat_node_health(node, &health), SPRAT_ERR_CLOSED);
    CHECK(!health);
    SAME(sprat_node_hint(node, "bad", NULL, NULL), SPRAT_ERR_CLOSED);
    SAME(sprat_node_remove_failed(node, "bad", 0), SPRAT_ERR_CLOSED);
    SAME(sprat_node_members(node, &members), SPRAT_OK);
    SAME(sprat_members_count(members), 1);
    sprat_members_free(members);
    SAME(sprat_node_stats(node, &stats), SPRAT_OK);
    sprat_stats_free(stats);
    struct pollfd fd = { .fd = sprat_node_fd(node), .events = POLLIN };
    int taken;
    while ((taken = sprat_node_next_event(node, -1, &event)) == 1) {
        sprat_event_free(event);
        SAME(poll(&fd, 1, 0), 1);
    }
    SAME(taken, SPRAT_ERR_CLOSED);
    SAME(poll(&fd, 1, 0), 1);                   /* the descriptor stays readable */
}

int main(void)
{
    alarm(300);
    library();
    list_of_settings();
    discovery();
    configs();
    char made_up;
    no_node(NULL, SPRAT_ERR_HANDLE);
    no_node((sprat_node *)&made_up, SPRAT_ERR_HANDLE);
    no_node((sprat_node *)(uintptr_t)1, SPRAT_ERR_HANDLE);
    no_node((sprat_node *)UINTPTR_MAX, SPRAT_ERR_HANDLE);
    no_node((sprat_node *)((uintptr_t)0x5a << (8 * (sizeof(void *) - 1))), SPRAT_ERR_HANDLE);
    sprat_node *node = node_called("bad");
    arguments(node);
    nothing_changed(node);
    objects(node);
    callback_node();
    closed(node);
    sprat_node_free(node);
    no_node(node, SPRAT_ERR_HANDLE);
    no_node((sprat_node *)((uintptr_t)node + 1), SPRAT_ERR_HANDLE);
    sprat_node *next = node_called("next");     /* must not get the same handle */
    CHECK(next != node);
    no_node(node, SPRAT_ERR_HANDLE);
    sprat_node_free(next);
    return 0;
}
