/* Property: what one allocator grants or refuses, the others do too, beyond what their profiles leave
 * open. One stream is played on several backends in one process, each under its own oracle; operations
 * whose outcome differs from that of all the others are findings (item D). A broken promise that a
 * backend's own oracle sees is not this target's business: the backend drops out of that input. */
#include "session.h"

#include <stdio.h>
#include <string.h>

#ifndef HG_SANITIZED
#define HG_SANITIZED 0
#endif

enum { PEERS_MAX = 5, OUTCOME_NONE = 0, OUTCOME_GRANTED, OUTCOME_REFUSED };
static const uint64_t CERTAIN_BYTES = UINT64_C(1) << 24;

static struct peer {
    const hg_backend *backend;
    hg_oracle *oracle;
    bool out; /* of this input */
} peers[PEERS_MAX];
static size_t peer_count;

static bool open_peers(struct hg_fuzz_session *session) {
    static const char *const names[] = {"core", "system", "jemalloc", "mimalloc", "tcmalloc"};
    char why[400];
    peers[0] = (struct peer){&session->backend, session->oracle, false};
    peer_count = 1;
    if (HG_SANITIZED) /* its runtime is the program's malloc, and lets no other be loaded beside */
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names && peer_count < PEERS_MAX; i++) {
        struct peer *peer = &peers[peer_count];
        if (strcmp(names[i], session->name) == 0 ||
            hg_backend_open(names[i], &peer->backend, why, sizeof why) != HG_OK)
            continue;
        struct hg_oracle_config config = {.backend = peer->backend};
        peer->oracle = hg_oracle_create(&config);
        if (peer->oracle)
            peer_count++;
    }
    return peer_count >= 3;
}

/* Left open by the contract, or to each backend: size 0 (C8, C19, C25, C33), odd sizes and large
 * alignments (C32, C33), what may lack memory, alignments that are none (C31 has its waivers, C43). */
static bool is_open(const hg_op *op) {
    uint64_t bytes = hg_op_bytes(op);
    bool align = op->kind == HG_OP_ALIGNED_ALLOC || op->kind == HG_OP_MEMALIGN ||
                 op->kind == HG_OP_POSIX_MEMALIGN;
    if (bytes == 0 || (bytes > CERTAIN_BYTES && bytes <= PTRDIFF_MAX))
        return true;
    return align && (op->arg == 0 || (op->arg & (op->arg - 1)) || op->arg > 4096 ||
                     bytes % op->arg || op->kind == HG_OP_MEMALIGN);
}

static int outcome_of(struct peer *peer, const hg_op *op, uint64_t index) {
    const struct hg_oracle_counts *counts = hg_oracle_counts(peer->oracle);
    uint64_t granted = counts->succeeded, unsupported = counts->unsupported;
    uint64_t refused = counts->failed_as_owed + counts->failed_for_memory;
    if (hg_oracle_perform(peer->oracle, op, index) != HG_OK) {
        peer->out = true;
        return OUTCOME_NONE;
    }
    if (counts->unsupported != unsupported)
        return OUTCOME_NONE;
    if (counts->succeeded != granted)
        return OUTCOME_GRANTED;
    return counts->failed_as_owed + counts->failed_for_memory != refused ? OUTCOME_REFUSED
                                                                         : OUTCOME_NONE;
}

/* Plays one operation everywhere. True: the first peer, the backend under test, stands alone. */
static bool differs(struct hg_fuzz_session *session, const hg_op *op, uint64_t index) {
    int outcomes[PEERS_MAX] = {0};
    unsigned others[3] = {0};
    for (size_t i = 0; i < peer_count; i++) {
        if (!peers[i].out)
            outcomes[i] = outcome_of(&peers[i], op, index);
        if (i > 0)
            others[outcomes[i]]++;
    }
    if (outcomes[0] == OUTCOME_NONE || is_open(op) || others[outcomes[0]] > 0 ||
        others[3 - outcomes[0]] < 2)
        return false;
    char text[128];
    hg_op_print(op, text, sizeof text);
    return hg_fuzz_found(session, "D", "%s: %s by %s, %s by %u others", text,
                         outcomes[0] == OUTCOME_GRANTED ? "granted" : "refused", session->name,
                         outcomes[0] == OUTCOME_GRANTED ? "refused" : "granted",
                         others[3 - outcomes[0]]);
}

static bool run(struct hg_fuzz_session *session, const uint8_t *data, size_t size) {
    if (!peer_count)
        (void)open_peers(session); /* alone, it plays all the same */
    peers[0].oracle = session->oracle;
    hg_fuzz_decode(&session->decode, data, size, &session->decoded);
    session->log->input_size = size < sizeof session->log->input ? (uint32_t)size : 0;
    memcpy(session->log->input, data, session->log->input_size);
    bool found = false;
    for (size_t i = 0; i < session->decoded.count && !found; i++)
        found = differs(session, &session->decoded.ops[i], i);
    session->log->inputs++;
    session->log->operations += session->decoded.count * peer_count;
    for (size_t i = 0; i < peer_count; i++) {
        if (peers[i].out && i > 0) { /* its heap may be broken: it stays out for good */
            peers[i--] = peers[--peer_count];
            continue;
        }
        if (!hg_oracle_finding(peers[i].oracle))
            hg_oracle_reset(peers[i].oracle);
    }
    bool broke = peers[0].out && hg_oracle_finding(session->oracle);
    peers[0].out = false;
    if (broke) {
        session->finding = *hg_oracle_finding(session->oracle);
        session->log->finding = session->finding;
        return session->log->found = true;
    }
    return found;
}

extern const struct hg_fuzz_target hg_fuzz_target_differential;
const struct hg_fuzz_target hg_fuzz_target_differential = {
    .name = "differential",
    .property = "backends grant and refuse alike, beyond their profiles",
    .decode = {.modest = true, .threads = 1},
    .needs_backend = true,
    .run = run,
};
