/* keys.c: the keys of two encrypted nodes, one of which stores them in a file. */
#include "check.h"
#include <sys/stat.h>

static const char OLD[16] = { 1 }, NEW[32] = { 2 };
static const char OLD_TEXT[] = "AQAAAAAAAAAAAAAAAAAAAA==";
static char folder[] = "/tmp/sprat-keys-XXXXXX", file[64];
static sprat_node *a, *b;

static void write_file(const char *text)
{
    FILE *out = fopen(file, "w");
    CHECK(out && fputs(text, out) >= 0 && fclose(out) == 0);
}

static void file_is(const char *expected)
{
    char text[256] = { 0 };
    struct stat stat_;
    FILE *in = fopen(file, "r");
    CHECK(in && fread(text, 1, sizeof text - 1, in) > 0 && fclose(in) == 0);
    if (strcmp(text, expected) != 0)
        fprintf(stderr, "%s\n", text);
    SAME(strcmp(text, expected), 0);
    CHECK(stat(file, &stat_) == 0);
    SAME(stat_.st_mode & 0777, 0600);
}

/* Lets both nodes do something, and checks that both have done it. */
static void both(int action, const char *key, size_t len)
{
    sprat_key_report *report;
    SAME(sprat_node_manage_keys_wait(a, action, key, len, 60000, &report), SPRAT_OK);
    SAME(sprat_key_report_asked(report), 2);
    static const char *const names[] = { "a", "b" };
    for (int i = 0; i < 2; i++) {
        bool done = false;
        const char *message = NULL;
        SAME(strcmp(sprat_key_report_answer(report, i, &done, &message), names[i]), 0);
        CHECK(done && message && *message == '\0');
    }
    bool done = true;
    const char *message = "";
    CHECK(!sprat_key_report_answer(report, 2, &done, &message) && !done && !message);
    CHECK(!sprat_key_report_missing(report, 0));
    CHECK(!sprat_key_report_key(report, 0, NULL, NULL, NULL));
    sprat_key_report_free(report);
}

static void listed(const char *key, size_t key_len, size_t expected, size_t expected_primary)
{
    sprat_key_report *report;
    SAME(sprat_node_manage_keys_wait(b, SPRAT_KEY_LIST, NULL, 0, 60000, &report), SPRAT_OK);
    size_t len, members, primary, i = 0;
    const uint8_t *bytes;
    while ((bytes = sprat_key_report_key(report, i++, &len, &members, &primary)))
        if (len == key_len && memcmp(bytes, key, len) == 0)
            break;
    CHECK((bytes != NULL) == (expected > 0));
    SAME(members, expected);
    SAME(primary, expected_primary);
    sprat_key_report_free(report);
}

/* Begins an operation on the keys, and returns the status of the event that ends it. */
static int done(int action, const char *key, size_t len, const char *words)
{
    uint64_t id = 0;
    int data, status;
    SAME(sprat_node_manage_keys(a, action, key, len, 60000, &data, &id), SPRAT_OK);
    for (;;) {
        const sprat_event *event;
        SAME(sprat_node_next_event(a, -1, &event), 1);   /* alarm() limits the wait */
        bool ends = event->kind == SPRAT_EVENT_DONE;
        status = event->status;
        if (ends) {
            CHECK(event->id == id && event->op_data == &data);
            CHECK(!words || strstr(event->text, words));
        }
        sprat_event_free(event);
        if (ends)
            return status;
    }
}

static void rotation(void)
{
    both(SPRAT_KEY_INSTALL, NEW, sizeof NEW);
    file_is("[\n  \"AQAAAAAAAAAAAAAAAAAAAA==\",\n"
            "  \"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n]");
    listed(OLD, sizeof OLD, 2, 2);
    listed(NEW, sizeof NEW, 2, 0);
    SAME(done(SPRAT_KEY_REMOVE, OLD, sizeof OLD, "primary key of this node"), SPRAT_ERR_STATE);
    SAME(done(SPRAT_KEY_USE, NEW, sizeof NEW, NULL), SPRAT_OK);
    listed(OLD, sizeof OLD, 2, 0);
    listed(NEW, sizeof NEW, 2, 2);
    both(SPRAT_KEY_REMOVE, OLD, sizeof OLD);
    listed(OLD, sizeof OLD, 0, 0);
    file_is("[\n  \"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"\n]");
    SAME(done(SPRAT_KEY_USE, OLD, sizeof OLD, "does not hold the key"), SPRAT_ERR_STATE);
}

/* A node that cannot store its keys says so, and has changed them nevertheless. */
static void no_file(void)
{
    SAME(unlink(file), 0);
    SAME(rmdir(folder), 0);
    sprat_key_report *report;
    SAME(sprat_node_manage_keys_wait(a, SPRAT_KEY_INSTALL, OLD, sizeof OLD, 60000, &report),
         SPRAT_ERR_STATE);
    CHECK(strstr(sprat_last_error(), "1 of 2 members report a failure: b: cannot write keyring_file"));
    bool done = true;
    const char *message;
    SAME(strcmp(sprat_key_report_answer(report, 1, &done, &message), "b"), 0);
    CHECK(!done && strstr(message, "No such file"));
    sprat_key_report_free(report);
    SAME(sprat_node_manage_keys_wait(a, SPRAT_KEY_INSTALL, OLD, sizeof OLD, 60000, NULL),
         SPRAT_ERR_STATE);
    listed(OLD, sizeof OLD, 2, 0);
}

int main(void)
{
    alarm(600);
    CHECK(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/keys.json", folder);
    write_file("[\"AQAAAAAAAAAAAAAAAAAAAA==\"]");
    sprat_config *config = settings("a");
    SAME(sprat_config_set(config, "encrypt", OLD_TEXT), SPRAT_OK);
    a = started(config);
    config = settings("b");
    SAME(sprat_config_set(config, "keyring_file", file), SPRAT_OK);
    b = started(config);
    join(b, a);
    rotation();
    no_file();
    sprat_node_free(a);
    sprat_node_free(b);
    puts("ok");
    return 0;
}
