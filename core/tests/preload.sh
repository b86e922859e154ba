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
    # shellcheck disable=SC2016
    if_here gs ghostscript sh -c 'echo "/Times-Roman findfont 30 scalefont setfont 1 1 300 { dup 2 mul 100 moveto dup 20 string cvs show
        dup 3 mul exch 2 mul 20 0 360 arc stroke } for showpage" >page.ps
        for device in ppmraw pdfwrite; do gs -q -dSAFER -dNOPAUSE -dBATCH -sDEVICE=$device -r100 -sOutputFile=page.$device page.ps; done
        cksum page.ppmraw; gs -q -dNOPAUSE -dBATCH -sDEVICE=pnggray -r50 -sOutputFile=- page.pdfwrite | cksum'
    if_here z3 z3 sh -c 'echo "(declare-const x (_ BitVec 40)) (declare-const y (_ BitVec 40)) (assert (= (bvmul x y) #x00e8d4a51b))
        (assert (bvugt x #x0000000001)) (assert (bvult x y)) (assert (bvult y #x0000100000)) (check-sat)" | z3 -in'
    # shellcheck disable=SC2016
    if_here php php php -n -r '$a = []; for ($i = 0; $i < 200000; $i++) $a["k" . $i % 4999][] = str_repeat("x", $i % 90);
        ksort($a); echo count($a), " ", strlen(serialize($a)), " ", md5(json_encode($a)), "\n";'
    echo 'let t = Hashtbl.create 16 in for i = 1 to 300000 do Hashtbl.replace t (string_of_int (i * 7919 mod 99991)) (String.make (i mod 60) (Char.chr 97)) done;
        print_int (Hashtbl.fold (fun k v n -> n + String.length k + String.length v) t 0);;' >table.ml
    if_here ocaml ocaml ocaml table.ml
    if_here emacs emacs emacs --batch -Q --eval '(with-temp-buffer (dotimes (i 20000) (insert (format "%d line %s\n" i (make-string (% i 70) ?x))))
        (sort-numeric-fields 1 (point-min) (point-max)) (goto-char 1) (while (re-search-forward "x+$" nil t) (replace-match "y"))
        (princ (buffer-size)) (princ (md5 (current-buffer))))'
    if_here ffmpeg ffmpeg ffmpeg -v error -threads 2 -f lavfi -i testsrc=d=2:s=320x240 -f lavfi -i sine=d=2 -flags bitexact -fflags bitexact \
        -c:v mpeg4 -c:a aac -f framemd5 -
    # shellcheck disable=SC2016
    if_here ldb "rocksdb's ldb" sh -c 'rm -rf rocks; for i in $(seq 30); do echo "k$i ==> $(head -c 3000 /dev/zero | tr "\0" x)$i"; done >pairs
        ldb --db=rocks --create_if_missing load <pairs >/dev/null && ldb --db=rocks compact >/dev/null; ldb --db=rocks scan | cksum'
    # shellcheck disable=SC2016
    if_here nginx nginx sh -c 'nginx=$(command -v nginx); mkdir -p web; seq 20000 >web/numbers; echo "daemon off; worker_processes 2; pid $PWD/nginx.pid; error_log stderr emerg; user root;
        events {} http { access_log off; client_body_temp_path $PWD/b; proxy_temp_path $PWD/p; fastcgi_temp_path $PWD/f; uwsgi_temp_path $PWD/u; scgi_temp_path $PWD/s;
        gzip on; gzip_types *; server { listen unix:$PWD/web.sock; root $PWD/web; autoindex on; } }" >nginx.conf; rm -f web.sock
        $nginx -c "$PWD/nginx.conf" -p "$PWD" & sleep 1
        for i in $(seq 40); do curl -s --compressed --unix-socket web.sock http://here/numbers | cksum; done | sort -u
        kill -QUIT $!; wait $!; echo "ended with $?"'
    # shellcheck disable=SC2016
    if_here memcached memcached sh -c 'rm -f cached; memcached -u root -s "$PWD/cached" -m 64 -t 4 & sleep 1
        perl -MIO::Socket::UNIX -e "my \$s = IO::Socket::UNIX->new(Peer => q(cached)); my \$n = 0;
            for my \$i (1 .. 5000) { my \$v = q(x) x (\$i * 7 % 3000); print \$s qq(set k\$i 0 0 ) . length(\$v) . qq(\r\n\$v\r\n); \$n++ if <\$s> =~ /STORED/;
            print \$s qq(get k) . int(\$i / 2 + 1) . qq(\r\n); while (my \$l = <\$s>) { last if \$l =~ /^END/; \$n += length \$l } } print \$n"
        kill $!; wait $!; echo " ended with $?"'
    # shellcheck disable=SC2016
    if_here setpriv postgresql sh -c 'bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1); [ -n "$bin" ] || { echo "not installed"; exit 0; }
        rm -rf pg && mkdir -m 700 pg; as=; [ "$(id -u)" != 0 ] || { chown 65534:65534 pg; chmod 755 .; as="setpriv --reuid=65534 --regid=65534 --clear-groups"; }
        cd pg || exit; export HOME=$PWD
        $as "$bin/initdb" -N -E UTF8 --locale=C -A trust data >log 2>&1 || tail -5 log
        $as "$bin/postgres" -D data -F -k "$PWD" -h "" >log 2>&1 & sleep 3
        $as "$bin/pgbench" -h "$PWD" -q -i -s 1 postgres >/dev/null 2>&1
        $as "$bin/pgbench" -h "$PWD" -n -c 4 -j 2 -t 100 postgres 2>/dev/null | grep "actually processed"
        $as "$bin/psql" -h "$PWD" -Atc "select count(*), sum(abalance) = (select sum(tbalance) from pgbench_tellers) from pgbench_accounts; select md5(string_agg(x::text, q order by x)) from generate_series(1, 50000) x, (values (chr(44))) v(q); select count(*) from pgbench_history" postgres
        kill -INT $!; wait $!; echo "ended with $?"'
    # shellcheck disable=SC2016
    if_here rustc rustc sh -c 'echo "use std::collections::BTreeMap; fn main() { let mut m = BTreeMap::new(); for i in 0..50000u64 { m.entry(i * 7919 % 1009).or_insert_with(Vec::new).push(i.to_string()); }
        let t: Vec<_> = (0..4).map(|k| std::thread::spawn(move || (0..20000).map(|i| format!(\"{}\", i * k)).collect::<Vec<_>>().len())).collect();
        let n: usize = t.into_iter().map(|t| t.join().unwrap()).sum(); println!(\"{} {}\", m.values().map(|v| v.len()).sum::<usize>(), n); }" >map.rs
        rustc -O -o map map.rs && ./map'
    if_here clang++ "clang++ compiles something large" sh -c 'echo "#include <bits/stdc++.h>
        int main() { std::map<std::string, std::regex> m; m[\"a\"] = std::regex(\"b+\"); std::cout << m.size(); }" | clang++ -std=c++17 -O2 -S -o - -x c++ - | cksum'
    echo 'import java.util.*; class T { public static void main(String[] a) throws Exception { var m = new TreeMap<String, Integer>(); for (int i = 0; i < 200000; i++) m.merge("k" + i % 4999, i % 7, Integer::sum);
        var t = new Thread[4]; for (int i = 0; i < 4; i++) { t[i] = new Thread(() -> { new StringBuilder("x").repeat("y", 10); }); } System.out.println(m.hashCode());
        var b = new java.util.zip.Deflater(); b.setInput(new byte[1000000]); b.finish(); System.out.println(b.deflate(new byte[100000])); } }' | sed 's/new StringBuilder("x").repeat("y", 10)/new StringBuilder("x").append("y")/' >T.java
    if_here java java java -Xmx200m T.java
    # shellcheck disable=SC2016
    if_here gdb gdb sh -c 'gdb -nx -batch -ex "break main" -ex run -ex "info line" -ex bt -ex "ptype struct timeval" -ex kill ./program.c.out 2>/dev/null | grep -cE "main|\\$"'
    # shellcheck disable=SC2016
    if_here tmux tmux sh -c 'export TERM=xterm; tmux -S "$PWD/tmux" -f /dev/null new-session -d -x 80 -y 24 "seq 5000; sleep 9" && sleep 1 && tmux -S "$PWD/tmux" capture-pane -p -t 0 | tail -3; tmux -S "$PWD/tmux" kill-server'
    # shellcheck disable=SC2016
    try "perl, threads" perl -Mthreads -e 'my @t = map { my $k = $_; threads->create(sub { my %h; $h{$_ % 777} .= $_ * $k for 1 .. 20000; my $n = 0; $n += length for values %h; $n }) } 1 .. 4; print join(" ", map { $_->join } @t), "\n"'
    try "python3, processes and threads" env PYTHONMALLOC=malloc python3 -c 'import concurrent.futures as f, multiprocessing as m, zlib
def work(n): return zlib.crc32(str(sorted(str(i * 7919 % 10007) for i in range(n))).encode())
if __name__ == "__main__":
    with f.ThreadPoolExecutor(4) as threads: print(list(threads.map(work, range(1000, 9000, 1000))))
    with m.get_context("fork").Pool(3) as pool: print(pool.map(work, range(1000, 9000, 1000)))'
    # shellcheck disable=SC2016
    try bash bash -c 'declare -A a; for ((i = 0; i < 30000; i++)); do a[$((i % 997))]+=$i; done; n=0; for k in "${!a[@]}"; do n=$((n + ${#a[$k]})); done; echo $n; x=$(seq 1000 | while read -r l; do echo "$l"; done | wc -l); echo "$x"'
    try "xz, threads" sh -c 'seq 400000 | xz -T3 -6 --block-size=300KiB | xz -dc | cksum'
    try "sort, little memory" sh -c 'ulimit -d 200000; seq 300000 | sort -R --random-source=/dev/zero -S 20M | sort -n -S 10M | cksum'
    if_here cmake cmake sh -c 'rm -rf cm; mkdir cm && cd cm && printf "cmake_minimum_required(VERSION 3.13)\nproject(x C)\nadd_library(x x.c)\n" >CMakeLists.txt && echo "int x;" >x.c && cmake -B b . | grep -c -- "--"'
    if_here systemd-analyze systemd sh -c 'systemd-analyze calendar "Mon *-*-01" --iterations=3 --base-time=2024-01-01 | grep -c Iter; systemd-analyze timespan 123456s | tail -1'
    if_here openssl openssl sh -c 'openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout key -out cert 2>/dev/null && openssl verify -CAfile cert cert; seq 10000 | openssl dgst -sha512'
    if_here ld.gold "gold, threads" sh -c 'gcc -fuse-ld=gold -Wl,--threads,--thread-count,3 -pthread -o gold program.c && ./gold'
    echo '<script>let s = 0; for (let i = 0; i < 1000; i++) s += i; document.write("sum " + s)</script>' >page.html
    # shellcheck disable=SC2016
    if_here chromium chromium sh -c 'timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --dump-dom \
            "file://$PWD/page.html" 2>/dev/null'
fi
[ $ran -gt 5 ] || { echo "FAILED: too little of it is installed"; failed=1; }
exit $failed
