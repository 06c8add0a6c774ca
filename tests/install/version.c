/* Checks an installed sprat: the library has the version that the only argument names, the header
 * has the same version, and a node starts. */
#include <sprat.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: version EXPECTED_VERSION\n");
        return 1;
    }
    if (strcmp(argv[1], sprat_version()) != 0) {
        fprintf(stderr, "library %s, expected %s\n", sprat_version(), argv[1]);
        return 1;
    }
    if (sprat_version_number() != SPRAT_VERSION_NUMBER) {
        fprintf(stderr, "header and library differ\n");
        return 1;
    }
    sprat_config *config = sprat_config_new();
    sprat_config_set(config, "name", "installed");
    sprat_config_set(config, "bind", "127.0.0.1:0");
    sprat_node *node;
    int status = sprat_node_start(config, &node);
    sprat_config_free(config);
    if (status < 0) {
        fprintf(stderr, "start: %s\n", sprat_last_error());
        return 1;
    }
    sprat_node_free(node);
    return 0;
}
