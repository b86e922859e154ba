// The core behind a C++ container: an allocator of over-aligned elements.
#include <heapgauge/core.h>

#include <cstdint>
#include <cstdio>
#include <new>
#include <vector>

template <class T> struct CoreAllocator {
    using value_type = T;
    CoreAllocator() = default;
    template <class U> CoreAllocator(const CoreAllocator<U> &) {}
    T *allocate(std::size_t count) {
        void *block = hg_alloc(hg_layout{count * sizeof(T), alignof(T)});
        if (!block)
            throw std::bad_alloc();
        return static_cast<T *>(block);
    }
    void deallocate(T *block, std::size_t count) { hg_dealloc(block, hg_layout{count * sizeof(T), alignof(T)}); }
    bool operator==(const CoreAllocator &) const { return true; }
    bool operator!=(const CoreAllocator &) const { return false; }
};

struct alignas(64) Line {
    int value;
};

int main() {
    std::vector<Line, CoreAllocator<Line>> lines;
    for (int i = 0; i < 1000; i++)
        lines.push_back(Line{i});
    if (reinterpret_cast<std::uintptr_t>(lines.data()) % 64 != 0 || lines[999].value != 999)
        return 1;
    std::printf("core %s\n", hg_core_version());
    return 0;
}
