"""An API of parts with Django REST framework, whose document drf-spectacular writes."""

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of a test alone",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework", "drf_spectacular"],
    REST_FRAMEWORK={
        "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
    SPECTACULAR_SETTINGS={"TITLE": "Parts", "VERSION": "1", "COMPONENT_SPLIT_REQUEST": True},
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from drf_spectacular.types import OpenApiTypes  # noqa: E402
from drf_spectacular.utils import OpenApiParameter, extend_schema  # noqa: E402
from drf_spectacular.views import SpectacularAPIView  # noqa: E402
from rest_framework import serializers, viewsets  # noqa: E402
from rest_framework.decorators import action  # noqa: E402
from rest_framework.exceptions import NotFound  # noqa: E402
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.routers import DefaultRouter  # noqa: E402

PARTS: dict[int, dict] = {}


class Part(serializers.Serializer):
    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=20)
    size = serializers.ChoiceField(choices=["small", "large"], default="small")
    price = serializers.DecimalField(
        max_digits=8, decimal_places=2, required=False, allow_null=True
    )
    secret = serializers.CharField(write_only=True, required=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False)


class Document(serializers.Serializer):
    document = serializers.FileField()


class Parts(viewsets.ViewSet):
    serializer_class = Part

    @extend_schema(
        parameters=[
            OpenApiParameter("q", str, description="A part of the name"),
            OpenApiParameter("size", str, many=True, enum=["small", "large"]),
        ],
        responses=Part(many=True),
    )
    def list(self, request):
        """List parts."""
        sizes = request.query_params.getlist("size")
        found = [
            part
            for part in PARTS.values()
            if request.query_params.get("q", "") in part["name"]
            and (not sizes or part["size"] in sizes)
        ]
        return Response(Part(found, many=True).data)

    def create(self, request):
        """Add a part."""
        given = Part(data=request.data)
        given.is_valid(raise_exception=True)
        part = {"id": len(PARTS) + 1, **given.validated_data}
        PARTS[part["id"]] = part
        return Response(Part(part).data, status=201)

    def retrieve(self, request, pk: int):
        """Get a part."""
        return Response(Part(self._find(pk)).data)

    def update(self, request, pk: int):
        """Replace a part."""
        given = Part(data=request.data)
        given.is_valid(raise_exception=True)
        PARTS[int(pk)] = {"id": self._find(pk)["id"], **given.validated_data}
        return Response(Part(PARTS[int(pk)]).data)

    def partial_update(self, request, pk: int):
        """Change a part."""
        given = Part(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        self._find(pk).update(given.validated_data)
        return Response(Part(PARTS[int(pk)]).data)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int):
        """Delete a part."""
        del PARTS[self._find(pk)["id"]]
        return Response(status=204)

    @extend_schema(request={"multipart/form-data": Document}, responses={200: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"], parser_classes=[MultiPartParser])
    def attach(self, request, pk: int):
        """Attach a document."""
        given = Document(data=request.data)
        given.is_valid(raise_exception=True)
        file = given.validated_data["document"]
        return Response({"part": int(pk), "name": file.name, "bytes": file.size})

    @extend_schema(request={"application/x-www-form-urlencoded": Part}, responses=Part)
    @action(detail=False, methods=["post"], parser_classes=[FormParser, JSONParser])
    def form(self, request):
        """Check a part that is sent as a form."""
        given = Part(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(given.validated_data)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=False, methods=["get"])
    def export(self, request):
        """Export the names."""
        return HttpResponse(
            "id,name\n" + "".join(f"{p['id']},{p['name']}\n" for p in PARTS.values()),
            content_type="text/csv",
        )

    def _find(self, pk):
        if not str(pk).isdigit() or int(pk) not in PARTS:
            raise NotFound(f"There is no part {pk}.")
        return PARTS[int(pk)]


router = DefaultRouter()
router.register("parts", Parts, basename="parts")
urlpatterns = [path("api/", include(router.urls)), path("schema", SpectacularAPIView.as_view())]
application = get_wsgi_application()
