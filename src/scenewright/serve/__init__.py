"""The service: jobs sent over HTTP to a server that stays loaded, done by one process per device.

requests, app, guards   what clients may send; the endpoints; who is let in, and how slowly
preparing, reading      files under names of ours; read once in a limited process before a job is accepted
job_queue               all jobs in SQLite: whoever is killed, none is lost and none is done twice
worker, supervisor      a process per device with resident weights; the thread that minds them
service, server         all of it in a data folder; the web server
"""
