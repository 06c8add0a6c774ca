/* unload.c: uses the library after dlclose. Its code must stay mapped, because its threads and fork
 * handlers still run. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    alarm(300);
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(argc > 1 ? argv[1] : "libsprat.so.0", RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        int (*prepare)(unsigned);
        const char *(*version)(void);
        *(void **)&prepare = dlsym(library, "sprat_threads_prepare");
        *(void **)&version = dlsym(library, "sprat_version");
        if (!prepare || !version || prepare(2) != 0)
            return 2;
        dlclose(library);
        if (strlen(version()) == 0)
            return 3;
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        int status;
        if (waitpid(pid, &status, 0) != pid || status != 0)
            return 4;
    }
    return 0;
}
