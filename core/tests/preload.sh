#!/bin/sh
# Runs real programs with and without a preloaded malloc library and compares status and output.
# usage: preload.sh LIBRARY WORKDIR
# A program that is not installed is named and left out. Exit status 1 iff any differs.
set -u
library=$1
work=$2/preload.$$
mkdir -p "$work" && cd "$work" || exit 2
trap 'rm -rf "$work"' EXIT
failed=0 ran=0

# try NAME COMMAND...
try() {
    name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "left out: $name ($1 is not installed)"
        return
    fi
    "$@" >want.out 2>want.err </dev/null
    want=$?
    LD_PRELOAD=$library "$@" >got.out 2>got.err </dev/null
    got=$?
    if [ $want -ne $got ] || ! cmp -s want.out got.out || ! cmp -s want.err got.err; then
        echo "FAILED: $name: status $got, expected $want"
        diff want.out got.out | head -5
        diff want.err got.err | head -5
        failed=1
    else
        echo "ok: $name"
    fi
    ran=$((ran + 1))
}

cat >program.cc <<'END'
#include <cstdio>
#include <cstdint>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
struct alignas(256) Wide { char bytes[300]; };
static thread_local std::vector<std::string> kept;
static int calls;
int main() {
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 20000; i++) map[std::to_string(i * 7919 % 10007)].push_back(i);
    size_t sum = 0;
    for (auto &e : map) sum += e.second.size() * e.first.size();
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++)
        threads.emplace_back([t] { for (int i = 0; i < 5000; i++) kept.push_back(std::string(i % 200, 'a' + t)); });
    for (auto &t : threads) t.join();
    Wide *wide = new Wide[10];
    std::printf("%zu %d\n", sum, (int)(reinterpret_cast<std::uintptr_t>(wide) % 256));
    delete[] wide;
    volatile std::size_t much = SIZE_MAX / 2;
    try { new char[much]; std::puts("no exception"); } catch (const std::bad_alloc &) { std::puts("bad_alloc"); }
    std::set_new_handler([] { if (++calls == 3) throw std::runtime_error("handler"); });
    try { new char[much]; } catch (const std::runtime_error &e) { std::printf("%s %d\n", e.what(), calls); }
    std::set_new_handler(nullptr);
    std::printf("%d\n", new (std::nothrow) char[much] == nullptr);
}
END
cat >program.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>
static pthread_key_t key;
static void *early;
__attribute__((constructor(101))) static void before_main(void) { early = realloc(calloc(3, 100), 5000); }
static void at_end(void) { free(early); free(malloc(300)); }
static void destroy(void *p) { free(p); free(malloc(77)); }
static void *run(void *p) { pthread_setspecific(key, malloc(50)); char *line = NULL; size_t n = 0;
    FILE *f = fopen("/proc/self/maps", "r"); while (getline(&line, &n, f) > 0); fclose(f); free(line); return p; }
int main(void) {
    atexit(at_end); pthread_key_create(&key, destroy);
    for (int round = 0; round < 30; round++) {
        pthread_t t[4];
        for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, run, NULL);
        pid_t child = fork();
        if (child == 0) { fflush(NULL); free(malloc(1000)); free(malloc(1000000)); _exit(7); }
        fflush(NULL);
        int status; waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) return 1;
        for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    }
    puts("done");
}
END
cat >opened.c <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *(*get)(size_t), *(*get_page)(size_t), *(*get_more)(void *, size_t);
static void (*give)(void *), (*give_c)(void *);
static void *run(void *p) { give(get_more(get_more(get_page(10), 100000), 50)); give(p); return get(30); }
int main(int argc, char **argv) {
    void *so = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL), *p;
    pthread_t t;
    if (!so) return puts(dlerror());
    get = dlsym(so, "malloc"), get_page = dlsym(so, "valloc"), get_more = dlsym(so, "realloc");
    give = dlsym(so, "free"), give_c = dlsym(so, "cfree");
    for (int i = 0; i < 100; i++) {
        pthread_create(&t, NULL, run, get(i * 100));
        pthread_join(t, &p);
        give_c(p);
        free(malloc(i * 100));
    }
    puts("done");
    return dlclose(so);
}
END
if command -v gcc >/dev/null 2>&1; then
    gcc -O1 -pthread -o opened opened.c
    if [ "$(./opened "$library")" = "done" ]; then
        echo "ok: opened with dlopen"
    else
        echo "FAILED: opened with dlopen"
        failed=1
    fi
    try "gcc compiles" gcc -O2 -pthread -o program.c.out program.c
    try "C program: threads, fork, early and late calls" ./program.c.out
fi
if command -v g++ >/dev/null 2>&1; then
    try "g++ compiles" g++ -std=c++17 -O1 -pthread -o program.cc.out program.cc
    try "C++ program: operators, exceptions, handler" ./program.cc.out
fi
# shellcheck disable=SC2016 # perl's and awk's own variables
try perl perl -e 'my %h; $h{$_ % 5003} .= "x$_" for 1..100000; my $s = 0; $s += length for values %h; print "$s\n"; my @a = sort { $a <=> $b } map { $_ * 7919 % 10007 } 1..20000; print "@a[0..9]\n"; if (my $p = fork) { wait; print $?, "\n" } else { exit 3 }'
try python3 env PYTHONMALLOC=malloc python3 -c 'import json, threading, subprocess
out = []
def work(n): out.append(len(json.dumps({str(i): list(range(i % 50)) for i in range(n)})))
ts = [threading.Thread(target=work, args=(5000,)) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
print(out, subprocess.run(["echo", "child"], capture_output=True).stdout)'
try sqlite3 sqlite3 :memory: 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 50000) SELECT count(*), sum(x), max(hex(x)) FROM c; CREATE TABLE t AS SELECT value v FROM generate_series(1, 20000); CREATE INDEX i ON t(v); SELECT count(*) FROM t a JOIN t b ON a.v = b.v;'
try git git --version
try "git, a repository" sh -c 'rm -rf r && git init -q r && cd r && seq 1 20000 >a && git add a && git -c user.name=n -c user.email=e commit -qm m && git cat-file -p HEAD:a | tail -1 && git gc -q'
# shellcheck disable=SC2016
try awk awk 'BEGIN { for (i = 0; i < 50000; i++) a[i % 997] = a[i % 997] i; n = 0; for (k in a) n += length(a[k]); print n }'
try sort sh -c 'seq 100000 -1 1 | sort -n --parallel=2 | tail -1'
try lua lua -e 'local t = {} for i = 1, 100000 do t[i % 777] = (t[i % 777] or "") .. (i % 10) end local n = 0 for _, s in pairs(t) do n = n + #s end print(n)'
try ruby ruby -e 'h = Hash.new { |k, v| k[v] = [] }; 50000.times { |i| h[i % 313] << i.to_s * 3 }; puts h.values.map(&:size).sum'
try node node -e 'let m = new Map(); for (let i = 0; i < 1e5; i++) m.set(i, "x" + i); console.log(m.size)'
# shellcheck disable=SC2016
try "perl, little address space" sh -c 'ulimit -v 300000; perl -e "my @a = map { \$_ x 10 } 1..200000; print scalar @a"'
try tar sh -c 'tar cf - program.c program.cc | gzip | gunzip | tar tf -'
# Does nothing, and says so, where a program that is not the first word is missing.
if_here() {
    if command -v "$1" >/dev/null 2>&1; then
        shift
        try "$@"
    else
        echo "left out: $2 ($1 is not installed)"
    fi
}
# shellcheck disable=SC2016
if_here redis-benchmark "redis-server under redis-benchmark" sh -c 'redis-server --port 0 --unixsocket "$PWD/socket" --save "" --io-threads 2 >/dev/null 2>&1 &
    for i in 1 2 3 4 5 6 7 8 9; do redis-cli -s socket ping >/dev/null 2>&1 && break; sleep 0.2; done
    redis-benchmark -s socket -q -n 3000 -r 500 -d 300 -t set,get,lpush,lpop,sadd,hset,zadd >/dev/null 2>&1 || echo failed
    redis-cli -s socket flushall
    redis-cli -s socket eval "for i = 1, 20000 do redis.call(\"hset\", \"h\" .. i % 50, i, string.rep(\"x\", i % 300)) end return redis.call(\"dbsize\")" 0
    redis-cli -s socket hget h7 19957 | wc -c
    redis-cli -s socket shutdown nosave
    wait $!; echo "ended with $?"'
if [ -n "${HG_LONG-}" ]; then
    for i in $(seq 400); do
        echo "int f$i(int a, int b) { char t[64]; for (int i = 0; i < a; i++) { if (i * b % 7 == $((i % 7)))
              __builtin_snprintf(t, 64, \"%d\", a * i + b); else b += __builtin_strlen(t) + a % (i + $i); } return b; }"
    done >large.c
    try "gcc compiles something large" gcc -O2 -S -o - large.c
    try "g++ compiles something large" sh -c 'echo "#include <bits/stdc++.h>
        int main() { std::map<std::string, std::regex> m; m[\"a\"] = std::regex(\"b+\"); std::cout << m.size(); }" |
        g++ -std=c++17 -O2 -S -o - -x c++ - | cksum'
    echo '<script>let s = 0; for (let i = 0; i < 1000; i++) s += i; document.write("sum " + s)</script>' >page.html
    # shellcheck disable=SC2016
    if_here chromium chromium sh -c 'timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --dump-dom \
            "file://$PWD/page.html" 2>/dev/null'
fi
[ $ran -gt 5 ] || { echo "FAILED: too little of it is installed"; failed=1; }
exit $failed
