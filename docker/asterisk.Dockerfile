# Asterisk 22 LTS from Debian; its config and the prompts come from the controller through the shared volume.
FROM debian:forky-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends asterisk asterisk-core-sounds-ru-wav asterisk-moh-opsound-wav \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 6060 --home-dir /var/lib/dozvon --create-home dozvon

USER dozvon
VOLUME /var/lib/dozvon
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["asterisk", "-C", "/var/lib/dozvon/asterisk/etc/asterisk.conf", "-rx", "core show uptime"]
CMD ["asterisk", "-C", "/var/lib/dozvon/asterisk/etc/asterisk.conf", "-f", "-n"]
