#include <stdint.h>
#define PRIu64 "llu"
#define PRIx64 "llx"
