/* sprat.h - cluster membership as a library.
 *
 * A program that links libsprat is a full member of a memberlist or Serf cluster: it finds the
 * other members, notices which of them fail, describes itself with tags, and reads the tags of the
 * others.
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
 * - An object that you get from a function whose name ends in _new, _start or _copy, or through an
 *   `out` argument, is yours: free it with the _free function of its type. Every _free function
 *   accepts NULL.
 * - A function that returns an int and can fail returns 0 or more on success, otherwise a negative
 *   enum sprat_status. An `out` argument is emptied first and written only on success. After a
 *   failure sprat_last_error() returns a sentence for people, on the thread that made the call.
 * - A setter of sprat_config that fails marks the settings as wrong: sprat_node_start() then fails
 *   with SPRAT_ERR_CONFIG and the sentence of the first failure.
 * - Any number of threads may use one sprat_node at the same time. Any other object belongs to one
 *   thread at a time; several threads may read it as long as none changes it.
 * - A sprat_node is a checked number: given NULL, a freed node or garbage, functions fail with
 *   SPRAT_ERR_HANDLE. If another argument is NULL and must not be, they return SPRAT_ERR_NULL;
 *   functions that only look something up return NULL or 0 instead, or the value that their
 *   comment names.
 * - Strings are NUL-terminated UTF-8. Strings that you pass are copied before the call returns.
 *   Strings that you get live as long as the object that they came from.
 * - Timeouts are milliseconds: -1 waits without limit, 0 does not wait, and for other negative
 *   values functions return SPRAT_ERR_INVALID. A wait continues after a signal handler has run, and
 *   pthread_cancel() takes effect after the call, or in a function of yours that the call runs;
 *   sprat_node_shutdown() ends a wait.
 * - The library never prints, never exits, installs no signal handler, and leaves the locale, the
 *   environment and the current directory alone. One exception: when the system refuses memory,
 *   Rust writes a message to standard error and aborts the process (SIGABRT). The threads of the
 *   library block all signals except SIGPROF and those that report a fault, such as SIGSEGV. No
 *   function may be called from a signal handler.
 * - In the child of a fork, calls on an inherited node return SPRAT_ERR_FORKED, and freeing it does
 *   nothing. The child may start nodes of its own.
 * - Link the library, or load it before you register fork handlers (pthread_atfork) that take a
 *   lock. If you load it afterwards and hold that lock during a call, the call and a fork may wait
 *   for each other for a second; the child may then keep a descriptor of the library open.
 * - Structs that the library fills may get new fields at their end in later versions: read them
 *   through the pointer that you were given, never copy them by value, and ignore numbers that you
 *   do not know. Lists of structs are lists of pointers, so the rule holds for their items as well.
 *
 * Generated from the source of the library: do not edit.
 */
