// What a C++ program expects of operators new and delete ([new.delete]), asked of whichever are
// used here: the C++ library's, or a preloaded library's. Built a second time with -DREPLACED, where the
// program brings its own basic two: then every other form must call these. Exit status 1 iff
// something is not so.
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int unmet;
#define EXPECT(x)                                                                                  \
    ((x) ? (void)0 : (void)(unmet++, std::fprintf(stderr, "line %d: not so: %s\n", __LINE__, #x)))

static const std::size_t much = SIZE_MAX / 2 - 100;
[[maybe_unused]] static int calls;
static volatile std::size_t opaque(0);
static void *keep(void *p) {
    static void *volatile seen;
    seen = p;
    return seen;
}

#ifdef REPLACED
// With a header, so that mixing them up with malloc's does not go unnoticed.
static int made, dropped;
void *operator new(std::size_t size) {
    if (opaque + size > much / 2)
        throw std::bad_alloc();
    made++;
    char *p = static_cast<char *>(std::malloc(size + 32));
    std::memset(p, 0x77, 32);
    return p + 32;
}
void operator delete(void *p) noexcept {
    if (!p)
        return;
    dropped++;
    char *start = static_cast<char *>(p) - 32;
    for (int i = 0; i < 32; i++)
        if (start[i] != 0x77)
            std::abort();
    std::free(start);
}
static void replaced() {
    int before = made, kept = made - dropped;
    ::operator delete(keep(::operator new(100)), std::size_t(100));
    ::operator delete[](keep(::operator new[](100)));
    ::operator delete[](keep(::operator new[](100)), std::size_t(100));
    ::operator delete(keep(::operator new(100, std::nothrow)), std::nothrow);
    ::operator delete[](keep(::operator new[](100, std::nothrow)), std::nothrow);
    EXPECT(made == before + 5);
    EXPECT(made - dropped == kept);
    EXPECT(keep(::operator new(opaque + much, std::nothrow)) == nullptr);
    std::vector<std::string> words(1000, std::string(100, 'x'));
    words.clear();
    words.shrink_to_fit();
    EXPECT(made - dropped == kept);
}
#endif

static void fresh(std::size_t align, void *p, std::size_t size) {
    EXPECT(p != nullptr);
    EXPECT(reinterpret_cast<std::uintptr_t>(p) % align == 0);
    std::memset(p, 1, size);
}

static void every_form() {
    for (std::size_t size = 0; size < 300000; size = size * 3 + 1) {
        void *p[4];
        fresh(16, p[0] = ::operator new(size), size);
        fresh(16, p[1] = ::operator new[](size), size);
        fresh(16, p[2] = ::operator new(size, std::nothrow), size);
        fresh(16, p[3] = ::operator new[](size, std::nothrow), size);
        EXPECT(p[0] != p[1] && p[1] != p[2] && p[2] != p[3]);
        ::operator delete(p[0], size);
        ::operator delete[](p[1], size);
        ::operator delete(p[2], std::nothrow);
        ::operator delete[](p[3], std::nothrow);
        ::operator delete(keep(::operator new(size)));
        ::operator delete[](keep(::operator new[](size)));
        for (std::size_t align = 1; align <= 1 << 16; align *= 4) {
            std::align_val_t a{align};
            fresh(align, p[0] = ::operator new(size, a), size);
            fresh(align, p[1] = ::operator new[](size, a), size);
            fresh(align, p[2] = ::operator new(size, a, std::nothrow), size);
            fresh(align, p[3] = ::operator new[](size, a, std::nothrow), size);
            ::operator delete(p[0], size, a);
            ::operator delete[](p[1], size, a);
            ::operator delete(p[2], a, std::nothrow);
            ::operator delete[](p[3], a, std::nothrow);
            ::operator delete(keep(::operator new(size, a)), a);
            ::operator delete[](keep(::operator new[](size, a)), a);
        }
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete(nullptr, std::size_t(10));
    ::operator delete[](nullptr, std::size_t(10));
    ::operator delete(nullptr, std::align_val_t(64));
    ::operator delete(nullptr, std::nothrow);
}

template <class F> static bool throws_bad_alloc(F f) {
    try {
        keep(f());
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void out_of_memory() {
    std::align_val_t a{64};
    EXPECT(throws_bad_alloc([&] { return ::operator new(opaque + much); }));
    EXPECT(throws_bad_alloc([&] { return ::operator new[](opaque + much); }));
    EXPECT(throws_bad_alloc([&] { return ::operator new(opaque + much, a); }));
    EXPECT(throws_bad_alloc([&] { return ::operator new[](opaque + much, a); }));
    EXPECT(throws_bad_alloc([&] { return ::operator new(opaque + SIZE_MAX); }));
    EXPECT(keep(::operator new(opaque + much, std::nothrow)) == nullptr);
    EXPECT(keep(::operator new[](opaque + much, std::nothrow)) == nullptr);
    EXPECT(keep(::operator new(opaque + much, a, std::nothrow)) == nullptr);
    EXPECT(keep(::operator new[](opaque + much, a, std::nothrow)) == nullptr);
}

#ifndef REPLACED
// A handler is asked again and again until it throws, or is gone; also by the nothrow forms, which
// then return a null pointer.
static void handlers() {
    std::set_new_handler([] {
        if (++calls % 3 == 0)
            throw std::bad_alloc();
    });
    EXPECT(throws_bad_alloc([] { return ::operator new(opaque + much); }));
    EXPECT(calls == 3);
    EXPECT(keep(::operator new(opaque + much, std::nothrow)) == nullptr);
    EXPECT(calls == 6);
    EXPECT(keep(::operator new[](opaque + much, std::align_val_t(64), std::nothrow)) == nullptr);
    EXPECT(calls == 9);
    std::set_new_handler([] { throw std::runtime_error("handler"); });
    bool caught = false;
    try {
        keep(::operator new(opaque + much));
    } catch (const std::runtime_error &) {
        caught = true;
    }
    EXPECT(caught);
    std::set_new_handler([] {
        calls++;
        std::set_new_handler(nullptr);
    });
    EXPECT(throws_bad_alloc([] { return new char[opaque + much]; }));
    EXPECT(calls == 10);
}
#endif

struct Owner {
    std::vector<std::string> words;
    std::unique_ptr<int[]> numbers{new int[100]};
    ~Owner() { words.emplace_back(1000, 'y'); }
};
static thread_local Owner of_thread;
static Owner of_program;
struct alignas(128) Wide {
    char bytes[200];
};

static void lifetimes() {
    for (int i = 0; i < 100; i++)
        std::thread([] { of_thread.words.assign(50, std::string(100, 'x')); }).join();
    of_program.words.assign(50, std::string(100, 'x'));
    of_thread.words.assign(50, std::string(100, 'x'));
    std::vector<Wide> wide(100);
    EXPECT(reinterpret_cast<std::uintptr_t>(wide.data()) % 128 == 0);
    auto shared = std::make_shared<Wide>();
    EXPECT(reinterpret_cast<std::uintptr_t>(shared.get()) % 128 == 0);
}

int main() {
    every_form();
    out_of_memory();
    lifetimes();
#ifdef REPLACED
    replaced();
#else
    handlers();
#endif
    return unmet != 0;
}
