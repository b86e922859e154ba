/* Scudo (LLVM 14): a child of a process with threads that starts threads of its own is ended by a failed
 * check. Needs nothing of Heapgauge. Exit status 1: the promise is broken.
 *   cc -O1 -fno-builtin -pthread scudo-threads-after-fork.c -o repro
 *   LD_PRELOAD=libclang_rt.scudo_standalone-x86_64.so ./repro */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *p) {
    for (size_t i = 0; i < 20000; i++) {
        free(p);
        p = malloc(i * 37 % 3000);
    }
    free(p);
    return NULL;
}
static void four(void) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}
static void *forever(void *p) {
    for (;;)
        p = work(p);
    return p;
}
int main(void) {
    int bad = 0, rounds = 50;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, forever, NULL);
    for (int i = 0; i < rounds; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            four();
            _exit(0);
        }
        int status;
        waitpid(child, &status, 0);
        bad += status != 0;
    }
    printf("%d of %d children of a process with threads did not end well\n", bad, rounds);
    fflush(stdout);
    _exit(bad != 0);
}
