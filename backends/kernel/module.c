/* /proc/heapgauge: a stream goes in, its verdict comes out.
 *
 * Open, write one line of text (a command), after it whatever the command wants (a flat stream), then
 * read: that performs it and gives one line of answer. One command a file description at a time; a write
 * after a read begins the next command. Commands:
 *
 *   info                                      release, promises, names of backends
 *   play BACKEND ORDER                        the flat stream that follows (flat.h)
 *   generate BACKEND ORDER SEED OPS LIVE MAX  a seeded stream of layout operations (generate.h)
 *   survey BACKEND SIZE ALIGN FROM COUNT      how many of COUNT blocks are less aligned (survey.h)
 *   classes BACKEND FROM TO STEP COUNT        the least alignment each size gets
 *
 * Only root may open it. Everything is done under one lock. */
#include "heapgauge/contain.h"
#include "heapgauge/flat.h"

#include "survey.h"
#include "slab.h"

#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

int hg__errno;

/* contain.h: there is no child to share memory with. */
void *hg_shared_map(uint64_t size) {
    return NULL;
}

enum { COMMAND_BYTES = 200, REQUEST_BYTES_MAX = 256 << 20, ANSWER_BYTES = 64 << 10 };

struct request {
    char *bytes; /* as written */
    size_t size, capacity;
    char *answer; /* ANSWER_BYTES; read from `at` on */
    size_t answer_size, at;
};

static DEFINE_MUTEX(one_at_a_time);
static const hg_backend *current_backend;
static hg_oracle *oracle; /* over current_backend */

/* ---- what is asked ---- */

static void drop_oracle(void) {
    if (oracle)
        hg_oracle_destroy(oracle);
    oracle = NULL;
}

/* The oracle over that backend, kept for the next stream. NULL iff memory is exhausted. */
static hg_oracle *oracle_over(const hg_backend *backend) {
    if (oracle && current_backend == backend)
        return oracle;
    drop_oracle();
    current_backend = backend;
    oracle = hg_oracle_create(&(struct hg_oracle_config){
        .backend = backend,
        .face = HG_FACE_LAYOUT,
        .may_fail = true, /* a guest is small, and no block of the slabs is above 4 MiB */
    });
    return oracle;
}

static size_t do_info(char *answer) {
    size_t length = (size_t)scnprintf(
        answer, ANSWER_BYTES,
        "release=%s kmalloc_min=%d slab_min=%zu kmalloc_max=%lu backends=", utsname()->release,
        (int)ARCH_KMALLOC_MINALIGN, hg__slab_backend_at(0)->facts.align_min,
        (unsigned long)KMALLOC_MAX_SIZE);
    for (size_t i = 0; hg__slab_backend_at(i); i++)
        length += (size_t)scnprintf(answer + length, ANSWER_BYTES - length, "%s%s", i ? "," : "",
                                    hg__slab_backend_at(i)->facts.name);
    return length;
}

/* The verdict as text. The guest's heap outlives a broken stream, its oracle does not. */
static size_t tell(const struct hg_verdict *verdict, char *answer) {
    if (verdict->status != HG_OK) {
        hg_oracle_abandon(oracle);
        drop_oracle();
    }
    return (size_t)hg_verdict_print(verdict, answer, ANSWER_BYTES);
}

static size_t do_play(const hg_backend *backend, unsigned order, const char *bytes, size_t size,
                      char *answer) {
    uint64_t count;
    struct hg_verdict *verdict = vmalloc(sizeof *verdict);
    void *aligned = vmalloc(size + 1); /* the command's line left it at any address */
    size_t length = (size_t)scnprintf(answer, ANSWER_BYTES, "error=out of memory");
    if (verdict && aligned && oracle_over(backend)) {
        memcpy(aligned, bytes, size);
        const hg_op *ops = hg_flat_read(aligned, size, &count);
        if (ops) {
            hg_flat_play(oracle, ops, count, order, verdict);
            length = tell(verdict, answer);
        } else {
            length = (size_t)scnprintf(answer, ANSWER_BYTES, "error=no flat stream");
        }
    }
    vfree(aligned);
    vfree(verdict);
    return length;
}

static size_t do_generate(const hg_backend *backend, unsigned order,
                          const struct hg_generator_config *config, char *answer) {
    size_t length = (size_t)scnprintf(answer, ANSWER_BYTES, "error=out of memory, or bad numbers");
    struct hg_verdict *verdict = vmalloc(sizeof *verdict);
    hg_generator *generator = hg_generator_create(config);
    if (verdict && generator && oracle_over(backend)) {
        struct hg_source source = hg_generator_source(generator);
        hg_flat_play_source(oracle, &source, order, verdict);
        length = tell(verdict, answer);
    }
    if (generator)
        hg_generator_destroy(generator);
    vfree(verdict);
    return length;
}

static size_t do_survey(const hg_backend *backend, const unsigned long long number[4],
                        char *answer) {
    hg_layout layout = {number[0], number[1]};
    if (!hg_layout_is_valid(layout) || layout.size == 0)
        return (size_t)scnprintf(answer, ANSWER_BYTES, "error=no layout");
    struct hg_survey seen = hg__survey(backend, layout, number[2], number[3]);
    return (size_t)scnprintf(answer, ANSWER_BYTES, "blocks=%zu less=%zu least=%zu", seen.blocks,
                             seen.less, seen.least);
}

static size_t perform(const char *command, const char *rest, size_t rest_size, char *answer) {
    char verb[16] = "", name[32] = "";
    unsigned long long n[6] = {0};
    int words = sscanf(command, "%15s %31s %llu %llu %llu %llu %llu", verb, name, &n[0], &n[1],
                       &n[2], &n[3], &n[4]);
    if (words == 1 && strcmp(verb, "info") == 0)
        return do_info(answer);
    const hg_backend *backend = hg__slab_backend(name);
    if (!backend)
        return (size_t)scnprintf(answer, ANSWER_BYTES, "error=no such backend");
    if (words == 3 && strcmp(verb, "play") == 0)
        return do_play(backend, (unsigned)n[0], rest, rest_size, answer);
    if (words == 7 && strcmp(verb, "generate") == 0)
        return do_generate(backend, (unsigned)n[0],
                           &(struct hg_generator_config){.seed = n[1],
                                                         .operation_count = n[2],
                                                         .live_blocks = (uint32_t)n[3],
                                                         .size_max = (uint32_t)n[4],
                                                         .threads = 1,
                                                         .layout_face = true},
                           answer);
    if (words == 6 && strcmp(verb, "survey") == 0)
        return do_survey(backend, n, answer);
    if (words == 6 && strcmp(verb, "classes") == 0)
        return min_t(size_t, ANSWER_BYTES - 1,
                     hg__survey_classes(backend, n[0], n[1], n[2], n[3], answer, ANSWER_BYTES - 1));
    return (size_t)scnprintf(answer, ANSWER_BYTES, "error=no such command");
}

/* ---- the file ---- */

static int request_open(struct inode *inode, struct file *file) {
    struct request *request = kzalloc(sizeof *request, GFP_KERNEL);
    if (!request)
        return -ENOMEM;
    request->answer = vmalloc(ANSWER_BYTES);
    if (!request->answer) {
        kfree(request);
        return -ENOMEM;
    }
    file->private_data = request;
    return 0;
}

static int request_release(struct inode *inode, struct file *file) {
    struct request *request = file->private_data;
    vfree(request->bytes);
    vfree(request->answer);
    kfree(request);
    return 0;
}

static bool grow(struct request *request, size_t size) {
    if (size <= request->capacity)
        return true;
    size_t capacity = max_t(size_t, size, 2 * request->capacity);
    char *bytes = vmalloc(capacity);
    if (!bytes)
        return false;
    memcpy(bytes, request->bytes, request->size);
    vfree(request->bytes);
    request->bytes = bytes;
    request->capacity = capacity;
    return true;
}

static ssize_t request_write(struct file *file, const char __user *from, size_t size,
                             loff_t *offset) {
    struct request *request = file->private_data;
    if (request->answer_size) { /* the one before is done */
        request->size = 0;
        request->answer_size = 0;
        request->at = 0;
    }
    if (size > REQUEST_BYTES_MAX - request->size)
        return -EFBIG;
    if (!grow(request, request->size + size))
        return -ENOMEM;
    if (copy_from_user(request->bytes + request->size, from, size))
        return -EFAULT;
    request->size += size;
    return (ssize_t)size;
}

static void answer_to(struct request *request) {
    char command[COMMAND_BYTES];
    const char *end = request->size ? memchr(request->bytes, '\n', request->size) : NULL;
    size_t length = end ? (size_t)(end - request->bytes) : 0;
    if (!end || length >= sizeof command) {
        request->answer_size =
            (size_t)scnprintf(request->answer, ANSWER_BYTES, "error=no command\n");
        return;
    }
    memcpy(command, request->bytes, length);
    command[length] = '\0';
    mutex_lock(&one_at_a_time);
    length = perform(command, end + 1, request->size - length - 1, request->answer);
    mutex_unlock(&one_at_a_time);
    length = min_t(size_t, length, ANSWER_BYTES - 2);
    request->answer[length++] = '\n';
    request->answer_size = length;
}

static ssize_t request_read(struct file *file, char __user *to, size_t size, loff_t *offset) {
    struct request *request = file->private_data;
    if (!request->answer_size)
        answer_to(request);
    size = min_t(size_t, size, request->answer_size - request->at);
    if (copy_to_user(to, request->answer + request->at, size))
        return -EFAULT;
    request->at += size;
    return (ssize_t)size;
}

static const struct proc_ops request_ops = {
    .proc_open = request_open,
    .proc_release = request_release,
    .proc_write = request_write,
    .proc_read = request_read,
};

static int __init heapgauge_init(void) {
    return proc_create("heapgauge", 0600, NULL, &request_ops) ? 0 : -ENOMEM;
}

static void __exit heapgauge_exit(void) {
    remove_proc_entry("heapgauge", NULL);
    drop_oracle();
    hg__slab_exit();
}

module_init(heapgauge_init);
module_exit(heapgauge_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Heapgauge's player and oracle, inside the kernel");
