/* last_words.c: calls that fail at the end of a thread, after its thread-local storage is gone. */
#include "check.h"

static pthread_key_t key;
static atomic_int seen;

static void at_the_end(void *arg)
{
    int *rounds = arg;
    SAME(sprat_config_set(NULL, "x", "y"), SPRAT_ERR_NULL);
    SAME(sprat_last_status(), SPRAT_ERR_NULL);
    CHECK(strlen(sprat_last_error()) > 0);
    sprat_config *config = sprat_config_new();
    CHECK(config);
    SAME(sprat_config_set(config, "no_such_key", "y"), SPRAT_ERR_NOT_FOUND);
    sprat_config_free(config);
    seen++;
    if (--*rounds > 0)                          /* run again, after other destructors */
        pthread_setspecific(key, arg);
}

static void *thread(void *arg)
{
    pthread_setspecific(key, arg);
    sprat_config_set(NULL, "x", "y");
    return NULL;
}

/* Checks that each thread has a last error of its own. */
static void *other(void *arg)
{
    (void)arg;
    SAME(sprat_last_status(), SPRAT_OK);
    return NULL;
}

int main(void)
{
    alarm(300);
    pthread_t id;
    int rounds = 3;
    SAME(pthread_key_create(&key, at_the_end), 0);
    SAME(sprat_config_set(NULL, "x", "y"), SPRAT_ERR_NULL);
    CHECK(strcmp(sprat_last_error(), "sprat_config_set: config is NULL") == 0);
    SAME(pthread_create(&id, NULL, other, NULL), 0);
    pthread_join(id, NULL);
    SAME(pthread_create(&id, NULL, thread, &rounds), 0);
    pthread_join(id, NULL);
    SAME(seen, 3);
    return 0;
}
