#include "command.h"

#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: heapgauge bench [--backend=A,B|all] [--benchmark_...]\n\n"
    "Benchmarks of allocators, with the flags, names and files of Google Benchmark. All run in this\n"
    "process, one after the other: for a comparison that can be defended use heapgauge compare.\n\n"
    "  --backend=A,B|all   allocators (core,system)\n"
    "  --workloads         the workloads, with what each stresses\n";

static int register_backend(const hg_backend *backend, const char *spec, void *context) {
    (void)context;
    char label[128];
    const char *slash = strrchr(spec, '/');
    snprintf(label, sizeof label, "%s", slash ? slash + 1 : spec);
    hg_workload_register(backend, label);
    char key[160], value[256];
    snprintf(key, sizeof key, "backend_%s", label);
    snprintf(value, sizeof value, "%s %s", backend->facts.version, backend->facts.path);
    hg_benchmark_add_context(key, value);
    return HG_EXIT_OK;
}

static int list_workloads(void) {
    const struct hg_workload *workload;
    for (size_t i = 0; (workload = hg_workload_at(i)) != NULL; i++)
        printf("%-18s %s\n", workload->name, workload->what);
    return HG_EXIT_OK;
}

int hg_cmd_bench(int argc, char **argv) {
    const char *backends = "core,system";
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--backend=", 10) == 0)
            backends = argv[i] + 10;
        else if (strcmp(argv[i], "--workloads") == 0)
            return list_workloads();
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    hg_benchmark_set_usage(usage);
    hg_benchmark_add_context("harness", "heapgauge " HG_VERSION);
    int status = hg_benchmark_initialize(&kept, argv);
    if (status != HG_BENCHMARK_OK || hg_benchmark_wants_exit())
        return status;
    status = hg_benchmark_report_unrecognized(kept, argv);
    if (status != HG_BENCHMARK_OK)
        return status;
    status = hg_each_backend("bench", backends, register_backend, NULL);
    return status ? status : hg_benchmark_run_specified();
}
