/* leave_main.c: main returns while two nodes run and the callback of one may be running. */
#include "check.h"

static void busy(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)event, (void)user_data;
    sprat_node_set_tag(node, "x", "y");
}

int main(void)
{
    alarm(300);
    sprat_config *config = settings("last");
    sprat_config_set_event_cb(config, busy, NULL, NULL);
    sprat_node *node = started(config), *other = node_called("other");
    join(node, other);
    return 0;
}
