/* memory.c: measures the memory of a program with a node and without one.
 *
 *   memory crowd N         runs N nodes until stdin ends; prints an address when all have joined
 *   memory alone           prints the memory of this program without a node
 *   memory member ADDR N   prints the memory of this program with a node, once it sees N members
 */
#include "check.h"

/* The time without events before the measurement: enough for some probes and rounds of gossip. */
enum { SETTLE_MS = 3000 };

/* Returns the number in a line such as "VmRSS:  1234 kB" of a file in /proc/self; -1 if no line
 * begins with `what`. */
static long kilobytes(const char *file, const char *what)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/self/%s", file);
    FILE *lines = fopen(path, "r");
    CHECK(lines);
    while (value < 0 && fgets(line, sizeof line, lines))
        if (strncmp(line, what, strlen(what)) == 0)
            value = strtol(line + strlen(what), NULL, 10);
    fclose(lines);
    return value;
}

/* Prints, in KiB, the resident memory, its private part, and its proportional share (PSS). */
static void print_memory(void)
{
    long resident = kilobytes("status", "VmRSS:"), share = kilobytes("smaps_rollup", "Pss:");
    long own = kilobytes("smaps_rollup", "Private_Clean:") +
               kilobytes("smaps_rollup", "Private_Dirty:");
    CHECK(resident > 0);
    printf("%ld %ld %ld\n", resident, own, share);
}

static sprat_node *member(const char *name)
{
    sprat_config *config = settings(name);
    SAME(sprat_config_set_tag(config, "role", "backend"), SPRAT_OK);
    SAME(sprat_config_set_tag(config, "zone", "eu-central-1a"), SPRAT_OK);
    SAME(sprat_config_set_tag(config, "version", "1.20.3"), SPRAT_OK);
    return started(config);
}

static size_t alive(const sprat_node *node)
{
    sprat_members *members;
    size_t count = 0;
    SAME(sprat_node_members(node, &members), SPRAT_OK);
    for (size_t i = 0; i < sprat_members_count(members); i++)
        count += sprat_members_get(members, i)->state == SPRAT_MEMBER_ALIVE;
    sprat_members_free(members);
    return count;
}

static void wait_for_all(sprat_node *node, size_t count)
{
    const sprat_event *event;
    while (alive(node) < count)
        if (sprat_node_next_event(node, 1000, &event) == 1)
            sprat_event_free(event);
}

static void crowd(size_t count)
{
    sprat_node **nodes = calloc(count, sizeof *nodes);
    char name[32], addr[64];
    CHECK(nodes);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "crowd-%zu", i);
        nodes[i] = member(name);
        if (i > 0)
            join(nodes[i], nodes[0]);
    }
    for (size_t i = 0; i < count; i++)
        wait_for_all(nodes[i], count);
    SAME(sprat_node_addr(nodes[0], addr, sizeof addr), SPRAT_OK);
    puts(addr);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (size_t i = 0; i < count; i++)
        sprat_node_free(nodes[i]);
    free(nodes);
}

/* Does what a program with a node does: joins, reads events, and looks at the members. */
static void measured_member(const char *addr, size_t count)
{
    const sprat_event *event;
    sprat_node *node = member("measured");
    SAME(sprat_node_join(node, &addr, 1, 0, 60000), 1);
    wait_for_all(node, count);
    while (sprat_node_next_event(node, SETTLE_MS, &event) == 1)
        sprat_event_free(event);
    SAME(alive(node), count);
    print_memory();
    sprat_node_free(node);
}

int main(int argc, char **argv)
{
    alarm(300);
    if (argc == 3 && strcmp(argv[1], "crowd") == 0)
        crowd((size_t)atoi(argv[2]));
    else if (argc == 4 && strcmp(argv[1], "member") == 0)
        measured_member(argv[2], (size_t)atoi(argv[3]));
    else if (argc == 2 && strcmp(argv[1], "alone") == 0)
        print_memory();
    else
        return 2;
    return 0;
}
