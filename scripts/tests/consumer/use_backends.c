/* An allocator's author: a seeded stream on a backend, under the oracle. usage: use_backends BACKEND
 * Exit status: 0 clean, 1 a broken promise, 2 no such backend. */
#include <heapgauge/backend.h>
#include <heapgauge/generate.h>
#include <heapgauge/player.h>

#include <stdio.h>

int main(int argc, char **argv) {
    char why[300];
    const hg_backend *backend;
    hg_backend_prepare_process(argv);
    if (hg_backend_open(argc > 1 ? argv[1] : "core", &backend, why, sizeof why) != HG_OK) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    struct hg_oracle_config oracle = {.backend = backend};
    struct hg_generator_config stream = {
        .seed = 1, .operation_count = 20000, .live_blocks = 300, .size_max = 4096, .threads = 1};
    struct hg_play_config play = {.backend = backend, .oracle = hg_oracle_create(&oracle)};
    struct hg_source source = hg_generator_source(hg_generator_create(&stream));
    struct hg_play_result result;
    enum hg_status status = hg_play(&play, &source, &result);
    const struct hg_finding *finding = hg_oracle_finding(play.oracle);
    printf("%s %s: %llu operations, %s\n", backend->facts.name, backend->facts.version,
           (unsigned long long)result.operations, finding ? finding->item : "clean");
    return status == HG_OK ? 0 : 1;
}
