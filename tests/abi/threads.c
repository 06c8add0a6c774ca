/* threads.c: nodes on threads that the program creates, and on threads prepared beforehand. */
#include "check.h"

static atomic_int spawned, ran;

struct job {
    void (*run)(void *);
    void *arg;
};

static void *thread(void *data)
{
    struct job job = *(struct job *)data;
    free(data);
    job.run(job.arg);
    ran++;
    return NULL;
}

static int spawn(const char *name, void (*run)(void *), void *arg, void *user_data)
{
    CHECK(strlen(name) > 0 && strlen(name) < 16);
    if (user_data && spawned >= *(int *)user_data)
        return EAGAIN;
    struct job *job = malloc(sizeof *job);
    *job = (struct job){ run, arg };
    pthread_t id;
    SAME(pthread_create(&id, NULL, thread, job), 0);
    pthread_detach(id);
    spawned++;
    return 0;
}

static void ignore(sprat_node *node, const sprat_event *event, void *user_data)
{
    (void)node, (void)event, (void)user_data;
}

static void by_the_program(void)
{
    sprat_config *config = settings("host");
    SAME(sprat_config_set_spawn_cb(config, spawn, NULL), SPRAT_OK);
    sprat_node *node = started(config), *other = node_called("other");
    join(node, other);
    CHECK(spawned >= 1);
    sprat_node_free(other);
    sprat_node_free(node);
    for (int i = 0; i < 1000 && ran < spawned; i++)
        pause_ms(1);
    SAME(ran, spawned);                         /* each thread ran its job, and only once */

    /* If the second or third thread cannot be created, the threads before it end, and no descriptor
     * is left open. */
    int fds = entries("fd");
    for (int have = 1; have <= 2; have++) {
        int limit = spawned + have;
        config = settings("refused");
        SAME(sprat_config_set_spawn_cb(config, spawn, &limit), SPRAT_OK);
        SAME(sprat_config_set_event_cb(config, ignore, NULL, NULL), SPRAT_OK);
        /* No event is delivered before the node has started, not even a line about the join. */
        SAME(sprat_config_set(config, "seeds", "127.0.0.1:1"), SPRAT_OK);
        SAME(sprat_config_set(config, "log_level", "trace"), SPRAT_OK);
        SAME(sprat_node_start(config, &node), SPRAT_ERR_IO);
        SAME(sprat_last_errno(), EAGAIN);
        sprat_config_free(config);
        SAME(settled("task", 1), 1);
        SAME(entries("fd"), fds);
    }
}

static void prepared(void)
{
    SAME(sprat_threads_idle(), 0);
    SAME(sprat_threads_prepare(3), SPRAT_OK);
    SAME(sprat_threads_prepare(3), SPRAT_OK);
    SAME(sprat_threads_idle(), 3);
    SAME(settled("task", 4), 4);
    sprat_node *node = node_called("prepared");
    CHECK(sprat_threads_idle() < 3);
    SAME(entries("task"), 4);                   /* no thread was created */
    pid_t pid = forked();
    if (pid == 0) {
        alarm(300);
        SAME(sprat_node_state(node), SPRAT_ERR_FORKED);
        CHECK(sprat_threads_idle() > 0);      /* threads were prepared for the child */
        int before = entries("task");
        sprat_node *own = node_called("child");
        SAME(entries("task"), before);
        sprat_node_free(own);
        end_child();
    }
    CHECK(succeeded(pid));
    sprat_node_free(node);
}

int main(void)
{
    alarm(300);
    by_the_program();
    prepared();
    return 0;
}
