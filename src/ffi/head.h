/* sprat.h - cluster membership as a library.
 *
 * A program that links libsprat is a full member of a memberlist or Serf cluster by itself: it
 * finds the other members, notices who fails, tells the others about itself with tags, and hears
 * what they say.
 *
 *     #include <sprat.h>
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         sprat_config *config = sprat_config_new();
 *         sprat_config_set(config, "bind", "0.0.0.0:7946");
 *         sprat_config_set_tag(config, "role", "backend");
 *
 *         sprat_node *node;
 *         int status = sprat_node_start(config, &node);     // any mistake above shows up here
 *         sprat_config_free(config);
 *         if (status < 0 ||
 *             (argc > 1 &&
 *              sprat_node_join(node, (const char *const *)argv + 1, argc - 1, 0, 5000) < 0)) {
 *             fprintf(stderr, "%s\n", sprat_last_error());
 *             return 1;
 *         }
 *         for (;;) {
 *             const sprat_event *event;
 *             if (sprat_node_next_event(node, -1, &event) < 1)
 *                 break;
 *             printf("%s %s\n", sprat_event_kind_name(event->kind),
 *                    event->member ? event->member->name : event->text);
 *             sprat_event_free(event);
 *         }
 *         sprat_node_free(node);
 *     }
 *
 *     cc -o first first.c $(pkg-config --cflags --libs sprat)
 *
 * The rules
 *
 * - What _new, _start, _copy or an `out` argument gave you ends with the _free of its type. Every
 *   _free accepts NULL.
 * - Functions that can fail return an int: 0 or a count on success, an enum sprat_status below 0
 *   otherwise. An `out` argument is emptied first and written on success only. After a failure
 *   sprat_last_error() has a sentence for people, on the thread that called.
 * - Settings errors stick: a setter that fails marks the config, and sprat_node_start() then fails
 *   with SPRAT_ERR_CONFIG and the first sentence.
 * - Any number of threads may use a sprat_node at once. Everything else belongs to one thread at a
 *   time; what is const may be shared.
 * - A sprat_node is a checked number: NULL, a freed one and garbage are all SPRAT_ERR_HANDLE.
 *   NULL for anything else that is needed is SPRAT_ERR_NULL, or NULL, 0 or false from functions
 *   that only look.
 * - Strings are NUL-terminated UTF-8. What goes in is copied before the call returns; what comes
 *   out lives as long as the object it came from.
 * - Times are milliseconds: -1 waits without limit, 0 does not wait, less is SPRAT_ERR_INVALID.
 * - The library never prints, never exits, installs no signal handler, and leaves locale,
 *   environment and current directory alone. Its threads block all signals but those of faults.
 *   Nothing is safe inside a signal handler.
 * - In the child of a fork every inherited node is SPRAT_ERR_FORKED and freeing it does nothing;
 *   the child may start nodes of its own.
 * - Structs that the library fills grow at their end: read them through the pointer you got, and
 *   ignore numbers you do not know.
 *
 * Generated from the library's source: do not edit.
 */
