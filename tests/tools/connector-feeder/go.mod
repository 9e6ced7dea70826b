module knotwork.dev/tests/tools/connector-feeder

go 1.26.0
