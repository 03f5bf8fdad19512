# SPDX-License-Identifier: MIT
"""Holds what a program prints as JSON against the table of keys in its man page."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def schema(page):
    """{key: set of types} of the table in a man page's JSON section."""
    with open(os.path.join(ROOT, "man", page), encoding="utf-8") as file:
        rows = re.findall(r"^\.It (\S+) Ta (\S+) Ta", file.read(), re.M)
    return {key: set(types.split("|")) for key, types in rows}


def type_name(value):
    return {bool: "boolean", int: "integer", float: "number", str: "string", list: "array",
            dict: "object", type(None): "null"}[type(value)]


def check_schema(test, table, value, path=""):
    """Every key stands in the table with its type, and every key of the table is there."""
    if path:
        test.assertIn(path, table)
        allowed, found = table[path], type_name(value)
        test.assertTrue(found in allowed or (found == "integer" and "number" in allowed),
                        f"{path}: {found}, not {allowed}")
    if isinstance(value, dict):
        prefix = path + "." if path else ""
        expected = {key for key in table if re.fullmatch(re.escape(prefix) + r"[\w?]+", key)}
        optional = {key for key in expected if "absent" in table[key]}
        keys = {prefix + key for key in value}
        test.assertLessEqual(expected - optional, keys)
        for key, item in value.items():
            check_schema(test, table, item, prefix + key)
    elif isinstance(value, list) and any(key.startswith(path + "[]") for key in table):
        for item in value:
            check_schema(test, table, {} if item is None else item, path + "[]") \
                if path + "[]" in table else check_items(test, table, item, path + "[]")


def check_items(test, table, item, path):
    expected = {key for key in table if re.fullmatch(re.escape(path) + r"\.\w+", key)}
    test.assertLessEqual({key for key in expected if "absent" not in table[key]},
                         {path + "." + key for key in item})
    for key, value in item.items():
        check_schema(test, table, value, path + "." + key)
