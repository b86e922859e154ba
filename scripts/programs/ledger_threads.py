"""Four threads keep a ledger each, in SQLite databases in memory, and send their reports to one another.

SQLite lets other Python threads run while it works, so its allocations truly happen at the same time; a
report made by one thread is freed by the next, so blocks are freed by threads that did not allocate them.
Run with PYTHONMALLOC=malloc. Argument: postings per thread (default 12000).
"""

import queue
import sqlite3
import sys
import threading

THREADS = 4


def ledger(number, postings, inbox, outbox, totals):
    """One thread: books, reports, passes the reports on, and reads the neighbour's."""
    book = sqlite3.connect(":memory:")
    book.execute("CREATE TABLE posting(id INTEGER PRIMARY KEY, account TEXT, cents INTEGER, memo TEXT)")
    book.execute("CREATE INDEX by_account ON posting(account, cents)")
    for start in range(0, postings, 500):
        rows = [(f"account {(i * 31 + number) % 97}", i * 7 % 1000 - 300, "memo " * (i % 9))
                for i in range(start, min(start + 500, postings))]
        with book:
            book.executemany("INSERT INTO posting(account, cents, memo) VALUES (?, ?, ?)", rows)
        report = book.execute("SELECT account, sum(cents), max(memo), count(*) FROM posting "
                              "GROUP BY account ORDER BY 2 DESC").fetchall()
        outbox.put(report)
        totals[number] += sum(row[3] for row in inbox.get())
    book.close()


def main(postings):
    boxes = [queue.Queue() for _ in range(THREADS)]
    totals = [0] * THREADS
    threads = [threading.Thread(target=ledger,
                                args=(i, postings, boxes[i], boxes[(i + 1) % THREADS], totals))
               for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{THREADS} ledgers, {postings} postings each, {sum(totals)} rows reported")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 12000)
