/* Status codes of operations that can fail for a reason worth telling (style.md, "errors, lane 2"). */
#ifndef HEAPGAUGE_STATUS_H
#define HEAPGAUGE_STATUS_H

#define HG_WARN_UNUSED __attribute__((warn_unused_result))

enum hg_status {
    HG_OK = 0,
    HG_END,             /* no more operations: the stream ended as it should */
    HG_ERR_SYSTEM,      /* a system call failed: errno says why */
    HG_ERR_FORMAT,      /* the bytes are not what the format says */
    HG_ERR_CUT,         /* the file ends before the stream does */
    HG_ERR_VERSION,     /* made by a newer Heapgauge */
    HG_ERR_UNKNOWN,     /* no such name */
    HG_ERR_UNAVAILABLE, /* known, but not on this machine */
    HG_ERR_MEMORY,      /* out of memory */
    HG_ERR_USAGE,       /* arguments that do not fit together */
};

#endif
