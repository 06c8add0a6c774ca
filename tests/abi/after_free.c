/* after_free.c: reads a freed event. No library can catch that, but memory checkers must see it. */
#include "check.h"

int main(void)
{
    alarm(300);
    const sprat_event *event;
    sprat_node *node = node_called("after");
    SAME(sprat_node_next_event(node, 60000, &event), 1);
    sprat_event_free(event);
    const volatile int32_t *kind = &event->kind;
    int read = *kind;
    sprat_node_free(node);
    return read == INT32_MIN;
}
