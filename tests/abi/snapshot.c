/* snapshot.c: a node that ends without a leave finds the other member again in its next run, by
 * the setting alone. */
#include "check.h"

static char folder[] = "/tmp/sprat-abi-XXXXXX";
static char path[64];

/* Returns settings with the snapshot; `bind` may be NULL. */
static sprat_config *with_snapshot(const char *bind)
{
    sprat_config *config = settings("b");
    SAME(sprat_config_set(config, "snapshot", path), SPRAT_OK);
    if (bind)
        SAME(sprat_config_set(config, "bind", bind), SPRAT_OK);
    return config;
}

static void wait_for_a(sprat_node *node)
{
    for (bool found = false; !found;) {
        const sprat_event *event;
        SAME(sprat_node_next_event(node, -1, &event), 1);   /* alarm() limits the wait */
        found = event->kind == SPRAT_EVENT_MEMBER_JOIN && strcmp(event->member->name, "a") == 0;
        sprat_event_free(event);
    }
}

int main(void)
{
    alarm(600);
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/members", folder);
    sprat_node *a = node_called("a");
    sprat_node *b = started(with_snapshot(NULL));
    char addr[64];
    SAME(sprat_node_addr(b, addr, sizeof addr), SPRAT_OK);
    join(b, a);

    sprat_config *config = with_snapshot(NULL);
    sprat_node *other = NULL;
    SAME(sprat_node_start(config, &other), SPRAT_ERR_CONFIG);
    CHECK(!other && strstr(sprat_last_error(), "another node uses it"));
    sprat_config_free(config);

    sprat_node_free(b);
    b = started(with_snapshot(addr));
    wait_for_a(b);
    sprat_node_free(b);
    sprat_node_free(a);
    SAME(unlink(path), 0);
    SAME(rmdir(folder), 0);
    puts("ok");
    return 0;
}
