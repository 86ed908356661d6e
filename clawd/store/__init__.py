"""The storage engine: one writer, one reader, migrations, fault points."""
