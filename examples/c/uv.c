/* uv.c: a node inside a libuv loop. The callbacks of the loop never block: events report the end of
 * a join or leave.
 *
 *     uv BIND [JOIN]...           leaves on Ctrl-C
 *     cc -o uv uv.c $(pkg-config --cflags --libs sprat libuv)
 */
#include <signal.h>
#include <sprat.h>
#include <stdio.h>
#include <uv.h>

struct program {
    sprat_node *node;
    uint64_t leaving;               /* the id of the leave operation; 0 before it starts */
    uv_poll_t events;
    uv_signal_t interrupt;
};

/* Closes the handles, so that uv_run() returns. */
static void stop(struct program *program)
{
    if (!uv_is_closing((uv_handle_t *)&program->events)) {
        uv_close((uv_handle_t *)&program->events, NULL);
        uv_close((uv_handle_t *)&program->interrupt, NULL);
    }
}

static void on_event(sprat_node *node, const sprat_event *event, void *user_data)
{
    struct program *program = user_data;
    (void)node;
    printf("%s %s\n", sprat_event_kind_name(event->kind),
           event->member ? event->member->name : event->text);
    if (event->kind == SPRAT_EVENT_FATAL)
        stop(program);
    if (event->kind == SPRAT_EVENT_DONE && program->leaving && event->id == program->leaving)
        stop(program);
}

static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct program *program = handle->data;
    (void)events;
    if (status < 0 || sprat_node_dispatch(program->node, 0, on_event, program) < 0)
        stop(program);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct program *program = handle->data;
    (void)number;
    if (program->leaving || sprat_node_leave_async(program->node, NULL, &program->leaving) < 0)
        stop(program);              /* a second Ctrl-C stops at once */
}

int main(int argc, char **argv)
{
    struct program program = { 0 };
    if (argc < 2) {
        fprintf(stderr, "usage: uv BIND [JOIN]...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sprat_config *config = sprat_config_new();
    sprat_config_set(config, "name", argv[1]);
    sprat_config_set(config, "bind", argv[1]);
    int status = sprat_node_start(config, &program.node);
    sprat_config_free(config);
    if (status == SPRAT_OK && argc > 2)
        status = sprat_node_join_async(program.node, (const char *const *)argv + 2, argc - 2, 0,
                                       NULL, NULL);
    if (status < 0) {
        fprintf(stderr, "uv: %s\n", sprat_last_error());
        sprat_node_free(program.node);
        return 1;
    }

    uv_loop_t *loop = uv_default_loop();
    uv_poll_init(loop, &program.events, sprat_node_fd(program.node));
    program.events.data = &program;
    uv_poll_start(&program.events, UV_READABLE, on_readable);
    uv_signal_init(loop, &program.interrupt);
    program.interrupt.data = &program;
    uv_signal_start(&program.interrupt, on_interrupt, SIGINT);
    uv_run(loop, UV_RUN_DEFAULT);

    sprat_node_free(program.node);  /* the loop no longer polls its descriptor */
    uv_loop_close(loop);
    return 0;
}
