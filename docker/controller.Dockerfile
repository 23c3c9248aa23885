# The controller, with RHVoice to speak the prompts, and espeak-ng and OpenFst to add words to its ears.
FROM debian:forky-slim

RUN sed -i 's/^Components: main$/Components: main non-free/' /etc/apt/sources.list.d/debian.sources \
 && apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv rhvoice rhvoice-russian espeak-ng \
    libfst-tools libfst27-plugins-base \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 6060 --home-dir /var/lib/dozvon --create-home dozvon

COPY . /opt/dozvon
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -e /opt/dozvon -c /opt/dozvon/constraints.txt

USER dozvon
WORKDIR /var/lib/dozvon
VOLUME /var/lib/dozvon
ENV PATH=/opt/venv/bin:$PATH DOZVON_HOME=/var/lib/dozvon DOZVON_ASTERISK=external \
    DOZVON_ASTERISK_LAYOUT=/opt/dozvon/docker/layout.toml
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"DOZVON_PANEL_PORT\", 8080)}/health', timeout=2)"]
CMD ["dozvon", "serve"]
