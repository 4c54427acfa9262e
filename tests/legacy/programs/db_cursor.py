"""A database, each query of which runs in a thread of a pool.

Prints:

    3 rows
    ada 36
    bob 41
    average 38.5
    refused: syntax error
    0 rows
"""

import sqlite3

import asyncoro


def queries(connection, pool, coro=None):
    cursor = asyncoro.AsyncDBCursor(pool, connection.cursor())
    yield cursor.execute("CREATE TABLE people (name TEXT, age INTEGER)", ())
    people = [("ada", 36), ("bob", 41), ("eve", None)]
    yield cursor.executemany("INSERT INTO people VALUES (?, ?)", people)
    print("%d rows" % cursor.rowcount)
    yield cursor.execute("SELECT name, age FROM people WHERE age > ? ORDER BY name", (30,))
    for row in cursor.fetchall():
        print("%s %s" % row)
    yield cursor.execute("SELECT avg(age) FROM people", ())
    print("average %s" % cursor.fetchone())
    try:
        yield cursor.execute("SELEKT", ())
    except sqlite3.Error as exc:
        print("refused: %s" % exc.args[0].split(": ")[1])
    yield cursor.execute("SELECT * FROM people WHERE age > 100", ())
    print("%d rows" % len(cursor.fetchall()))
    cursor.close()


if __name__ == "__main__":
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    asyncoro.Coro(queries, connection, asyncoro.AsyncThreadPool(1)).value()
    connection.close()
