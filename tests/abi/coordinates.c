/* coordinates.c: network coordinates of two nodes of one process. */
#include "check.h"

static sprat_node *quick(const char *name, const char *coordinates)
{
    sprat_config *config = settings(name);
    SAME(sprat_config_set(config, "probe_interval_ms", "50"), SPRAT_OK);
    SAME(sprat_config_set(config, "probe_timeout_ms", "40"), SPRAT_OK);
    SAME(sprat_config_set(config, "coordinates", coordinates), SPRAT_OK);
    return started(config);
}

/* Waits until a node has the coordinate of a member; alarm() limits the wait. */
static sprat_coordinate wait_for(const sprat_node *node, const char *name)
{
    sprat_coordinate coordinate;
    int status;
    while ((status = sprat_node_coordinate(node, name, &coordinate)) == SPRAT_ERR_NOT_FOUND)
        pause_ms(10);
    SAME(status, SPRAT_OK);
    return coordinate;
}

static void two_nodes(sprat_node *a, sprat_node *b)
{
    sprat_coordinate own, other = wait_for(a, "b");
    SAME(sprat_node_coordinate(a, NULL, &own), SPRAT_OK);
    CHECK(own.error > 0 && own.error <= 1.5 && own.height > 0);
    CHECK(other.error > 0 && other.error <= 1.5 && other.height > 0);
    wait_for(b, "a");
    int64_t rtt = -1;
    SAME(sprat_node_rtt(a, NULL, "b", &rtt), SPRAT_OK);
    CHECK(rtt >= 0 && rtt < 60 * 1000 * 1000);
    SAME(sprat_node_rtt(b, "a", "b", &rtt), SPRAT_OK);
    CHECK(rtt >= 0);
    SAME(sprat_node_coordinate(a, "nobody", &other), SPRAT_ERR_NOT_FOUND);
    CHECK(strstr(sprat_last_error(), "there is no such member"));
    CHECK(other.error == 0 && other.height == 0);
    SAME(sprat_node_rtt(a, "b", "nobody", &rtt), SPRAT_ERR_NOT_FOUND);
    SAME(rtt, -1);
}

static void switched_off(sprat_node *a, sprat_node *silent)
{
    sprat_coordinate coordinate;
    SAME(sprat_node_coordinate(silent, NULL, &coordinate), SPRAT_ERR_STATE);
    CHECK(strstr(sprat_last_error(), "coordinates = true"));
    SAME(sprat_node_coordinate(a, "silent", &coordinate), SPRAT_ERR_NOT_FOUND);
    CHECK(strstr(sprat_last_error(), "not sent its coordinate"));
}

int main(void)
{
    alarm(600);
    sprat_node *a = quick("a", "true"), *b = quick("b", "true"), *silent = quick("silent", "false");
    join(b, a);
    join(silent, a);
    two_nodes(a, b);
    switched_off(a, silent);
    sprat_node_free(a);
    sprat_node_free(b);
    sprat_node_free(silent);
    puts("ok");
    return 0;
}
