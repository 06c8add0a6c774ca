/* web_server.c: a web server that joins a cluster to receive requests, and leaves it without losing
 * a request.
 *
 *     web_server [--name N] [--bind IP] [--port P] [--profile P] [--ready-fd FD] [SEED]...
 *
 * A load balancer follows the members with the tag role=backend and sends requests to their
 * address, at the port in the tag `port`. On SIGINT or SIGTERM this server leaves the cluster, then
 * serves for a few more seconds: load balancers take a moment to learn of the leave, and send
 * requests until then.
 *
 *     cc -o web_server web_server.c $(pkg-config --cflags --libs sprat libmicrohttpd)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <microhttpd.h>
#include <signal.h>
#include <sprat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GRACE = 3 /* seconds to serve after leaving */ };

struct options {
    const char *name, *bind, *port, *profile;
    int ready_fd;
    char seeds[1024];
};

static enum MHD_Result hello(void *user_data, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *body,
                             size_t *body_size, void **request)
{
    const struct options *options = user_data;
    char text[300];
    (void)url, (void)method, (void)version, (void)body, (void)request;
    *body_size = 0;
    int length = snprintf(text, sizeof text, "hello from %s\n", options->name);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result sent = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return sent;
}

static struct MHD_Daemon *serve(const struct options *options)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(atoi(options->port)) };
    if (inet_pton(AF_INET, options->bind, &addr.sin_addr) != 1) {
        fprintf(stderr, "web_server: --bind must be an IPv4 address, got %s\n", options->bind);
        return NULL;
    }
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, hello,
                         (void *)options, MHD_OPTION_SOCK_ADDR, &addr,
                         MHD_OPTION_CONNECTION_TIMEOUT, 60u, MHD_OPTION_END);
    if (!daemon)
        fprintf(stderr, "web_server: cannot listen on port %s\n", options->port);
    return daemon;
}

/* Starts the node that makes this server a member. */
static sprat_node *announce(const struct options *options)
{
    sprat_config *config = sprat_config_new();
    sprat_config_set(config, "name", options->name);
    sprat_config_set(config, "bind", options->bind);
    sprat_config_set(config, "profile", options->profile);
    sprat_config_set(config, "seeds", options->seeds);
    sprat_config_set_tag(config, "role", "backend");
    sprat_config_set_tag(config, "port", options->port);
    sprat_node *node = NULL;
    if (sprat_node_start(config, &node) < 0)    /* a wrong setting fails here, too */
        fprintf(stderr, "web_server: %s\n", sprat_last_error());
    sprat_config_free(config);
    return node;
}

static void say_ready(const struct options *options)
{
    printf("%s serves port %s\n", options->name, options->port);
    if (options->ready_fd >= 0) {
        if (write(options->ready_fd, "\n", 1) < 0)
            perror("web_server: --ready-fd");
        close(options->ready_fd);
    }
}

static int parse(struct options *options, int argc, char **argv)
{
    int i = 1;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
        const char *option = argv[i] + 2, *value = argv[i + 1];
        if (strcmp(option, "name") == 0)
            options->name = value;
        else if (strcmp(option, "bind") == 0)
            options->bind = value;
        else if (strcmp(option, "port") == 0)
            options->port = value;
        else if (strcmp(option, "profile") == 0)
            options->profile = value;
        else if (strcmp(option, "ready-fd") == 0)
            options->ready_fd = atoi(value);
        else
            return -1;
    }
    for (; i < argc; i++) {
        size_t used = strlen(options->seeds), left = sizeof options->seeds - used;
        int length = snprintf(options->seeds + used, left, "%s%s", used ? "," : "", argv[i]);
        if (argv[i][0] == '-' || (size_t)length >= left)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    struct options options = {
        .name = host, .bind = "127.0.0.1", .port = "8080", .profile = "lan", .ready_fd = -1,
    };
    if (parse(&options, argc, argv) < 0) {
        fprintf(stderr, "usage: web_server [--name N] [--bind IP] [--port P] [--profile P] "
                        "[--ready-fd FD] [SEED]...\n");
        return 2;
    }

    /* Block the signals before any thread starts, so that they wait for sigwait() below. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);

    /* Serve before announcing: a load balancer may send requests as soon as it sees the member. */
    struct MHD_Daemon *daemon = serve(&options);
    if (!daemon)
        return 1;
    sprat_node *node = announce(&options);
    if (!node) {
        MHD_stop_daemon(daemon);
        return 1;
    }
    say_ready(&options);

    int number;
    sigwait(&signals, &number);
    printf("leaving\n");
    if (sprat_node_leave(node, 10000) < 0)
        fprintf(stderr, "web_server: leave: %s\n", sprat_last_error());
    sleep(GRACE);
    sprat_node_free(node);
    MHD_stop_daemon(daemon);
    return 0;
}
