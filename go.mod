module hookline

go 1.26.0
