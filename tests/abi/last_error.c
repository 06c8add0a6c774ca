/* last_error.c: one statement reads the errors of several calls; each thread has its own last
 * error; and calls still report errors in the destructors of a thread, when its thread-local
 * objects are gone. */
#include "check.h"

static pthread_key_t key;
static atomic_int seen;

static void fail_in_destructor(void *arg)
{
    int *rounds = arg;
    SAME(sprat_config_set(NULL, "x", "y"), SPRAT_ERR_NULL);
    SAME(sprat_last_status(), SPRAT_ERR_NULL);
    CHECK(strcmp(sprat_last_error(), "sprat_config_set: config is NULL") == 0);
    sprat_config *config = sprat_config_new();
    CHECK(config);
    SAME(sprat_config_set(config, "no_such_key", "y"), SPRAT_ERR_NOT_FOUND);
    sprat_config_free(config);
    seen++;
    if (--*rounds > 0)                          /* run again, after other destructors */
        pthread_setspecific(key, arg);
}

static void *thread_with_destructor(void *arg)
{
    pthread_setspecific(key, arg);
    sprat_config_set(NULL, "x", "y");           /* allocates this thread's last error */
    return NULL;
}

static void *no_error_yet(void *arg)
{
    (void)arg;
    SAME(sprat_last_status(), SPRAT_OK);
    return NULL;
}

static const char *error_of(int status)
{
    CHECK(status < 0);
    return sprat_last_error();
}

/* One statement may read the errors of several calls. */
static void several_errors(void)
{
    char text[256];
    snprintf(text, sizeof text, "%s; %s; %s", error_of(sprat_config_set(NULL, "x", "y")),
             error_of(sprat_node_shutdown(NULL)), error_of(sprat_node_leave(NULL, -2)));
    CHECK(strstr(text, "sprat_config_set: config is NULL; "));
    CHECK(strstr(text, "sprat_node_shutdown: node is NULL; "));
    CHECK(strstr(text, "sprat_node_leave: node is NULL"));
    const char *first = error_of(sprat_config_set(NULL, "x", "y"));
    for (int i = 0; i < 100; i++)
        error_of(sprat_node_shutdown(NULL));
    /* The pointer is still valid, and points to the text of a later error by now. */
    CHECK(strncmp(first, "sprat_", 6) == 0);
    sprat_config *config = sprat_config_new();
    char name[3000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    const char *cut = error_of(sprat_config_set(config, name, "y"));
    CHECK(strlen(cut) <= 1023);                 /* 1020 bytes and an ellipsis */
    sprat_config_free(config);
}

int main(void)
{
    alarm(300);
    pthread_t id;
    several_errors();
    int rounds = 3;
    SAME(pthread_key_create(&key, fail_in_destructor), 0);
    SAME(sprat_config_set(NULL, "x", "y"), SPRAT_ERR_NULL);
    CHECK(strcmp(sprat_last_error(), "sprat_config_set: config is NULL") == 0);
    SAME(pthread_create(&id, NULL, no_error_yet, NULL), 0);
    pthread_join(id, NULL);
    SAME(pthread_create(&id, NULL, thread_with_destructor, &rounds), 0);
    pthread_join(id, NULL);
    SAME(seen, 3);
    return 0;
}
