/* out_of_memory.c: a process whose address space is limited. If the system refuses a thread, the
 * call fails with an error. If the system refuses memory, the process ends with a message and
 * SIGABRT, as the header says. */
#include "check.h"
#include <sys/resource.h>
#include <sys/wait.h>

/* Lets this process use only `more` bytes of address space in addition to its present size. */
static void limit(size_t more)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    struct rlimit limit;
    SAME(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + more;
    SAME(setrlimit(RLIMIT_AS, &limit), 0);
}

static void unlimited(void)
{
    struct rlimit limit;
    SAME(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    SAME(setrlimit(RLIMIT_AS, &limit), 0);
}

/* A start fails if the threads of the node get no stack, and succeeds once memory is available. */
static void refused_thread(void)
{
    sprat_config *config = settings("refused");
    sprat_node *node;
    limit(100 * 1024);
    SAME(sprat_node_start(config, &node), SPRAT_ERR_IO);
    CHECK(!node);
    CHECK(strstr(sprat_last_error(), "thread"));
    unlimited();
    SAME(sprat_node_start(config, &node), SPRAT_OK);
    sprat_config_free(config);
    sprat_node_free(node);
}

/* Takes memory for settings until the system refuses it. */
static void take_all(void)
{
    limit(1024 * 1024);
    for (;;)
        sprat_config_new();
}

/* Takes memory in the same way while a node runs. */
static void take_all_with_a_node(void)
{
    CHECK(node_called("running"));
    take_all();
}

/* Runs `work` in another process, which must print a message and end by SIGABRT. */
static void aborts(void (*work)(void))
{
    int output[2], status;
    SAME(pipe(output), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        dup2(output[1], 2);
        alarm(120);
        work();
        _exit(0);
    }
    close(output[1]);
    char text[1000] = "";
    size_t len = 0;
    for (ssize_t got = 1; got > 0 && len < sizeof text - 1; len += (size_t)got) {
        got = read(output[0], text + len, sizeof text - 1 - len);
        CHECK(got >= 0);
    }
    close(output[0]);
    SAME(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    SAME(WTERMSIG(status), SIGABRT);
    CHECK(strncmp(text, "memory allocation of ", 21) == 0);
}

int main(void)
{
    alarm(300);
    refused_thread();
    aborts(take_all);
    aborts(take_all_with_a_node);
    return 0;
}
